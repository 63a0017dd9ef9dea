"""Writes tests/parity/clip_ids.json: ids that transformers' CLIPTokenizer gives with CLIP's own vocabulary.

    python tests/parity/make_vocabulary_references.py REPOSITORY VOCABULARY

VOCABULARY is bpe_simple_vocab_16e6.txt as `./dev setup` unpacks it (build/share/weft/clip_vocabulary.txt).
The vocabulary is built here as CLIP's published tokenizer does (clip/simple_tokenizer.py).
"""
import json
import sys
import tempfile
from pathlib import Path

from transformers import CLIPTokenizer

TEXTS = [
    "", "a photo of an astronaut riding a horse on mars", "Watercolor painting, soft light, 4k!!",
    "an oil painting by Vincent van Gogh (1889)", "it's the cat's pyjamas, they're John's", "naïve café, Ærøskøbing",
    "東京の夜、ネオン", "emoji 🐱‍👤 and 👩‍🚀", "   spaces\tand\nlines   ", "3.14159 x 10^8 m/s", "<|endoftext|> inside",
    "antidisestablishmentarianism supercalifragilisticexpialidocious", "UPPER lower MiXeD", "#hashtag @name http://x.y/z?q=1",
    "привет мир", "قطة على سجادة", "½ cup, № 5, ², ³", "a" * 90, "word " * 100, "!?;:,.-_~`'\"\\/|",
]


def byte_symbols():
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    codes = printable + [256 + i for i in range(256 - len(printable))]
    return [chr(c) for c in codes]


def main():
    lines = Path(sys.argv[2]).read_text(encoding="utf-8").split("\n")[1:49152 - 256 - 2 + 1]
    merges = [tuple(line.split()) for line in lines]
    symbols = byte_symbols()
    tokens = symbols + [s + "</w>" for s in symbols] + ["".join(m) for m in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        vocab, pairs = Path(folder) / "vocab.json", Path(folder) / "merges.txt"
        vocab.write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding="utf-8")
        pairs.write_text("#version: 0.2\n" + "\n".join(" ".join(m) for m in merges) + "\n", encoding="utf-8")
        (Path(folder) / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer",
            "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>", "model_max_length": 77}))
        tokenizer = CLIPTokenizer.from_pretrained(folder)
    out = [{"text": text, "ids": tokenizer(text, padding="max_length", truncation=True, max_length=77).input_ids}
           for text in TEXTS]
    assert len(tokenizer) == 49408
    path = Path(sys.argv[1]) / "tests/parity/clip_ids.json"
    entries = {str(i): entry for i, entry in enumerate(out)}
    path.write_text("{\n" + ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in entries.items()) + "\n}\n")
    print(len(out), "texts")


main()
