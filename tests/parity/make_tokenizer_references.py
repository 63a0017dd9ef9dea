"""Writes tests/parity/tokenizer/: a small CLIP vocabulary learned from weft's own captions, and the ids
that transformers' CLIPTokenizer gives for a list of awkward texts.

    python tests/parity/make_tokenizer_references.py REPOSITORY

ids.txt: one case a line: the set of special tokens, the text's bytes in hexadecimal ("-" when empty),
then the ids without padding. Bytes that are no UTF-8 are decoded with U+FFFD, as Python does.
"""
import json
import random
import sys
from collections import Counter
from pathlib import Path

import regex
from transformers import CLIPTokenizer

CAPTIONS = [
    "a red ball on a green field", "a blue house beside a tree under a sunset sky", "make it a watercolor painting",
    "turn it into a pencil sketch", "a neon city at night", "make the ball blue", "a white moon over snowy mountains",
    "an oil painting of a boat on the sea", "winter snow", "as a comic book", "black and white photograph",
    "the house's door isn't open, it's closed", "they're waiting, we've seen them and they'll go", "autumn forest in fog",
    "stained glass window with 12 panes", "a heart, a star & a flower!", "café naïve façade", "día señor niño",
]
MERGES = 260


def byte_symbols():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


def learn():
    symbols = byte_symbols()
    words = Counter()
    for caption in CAPTIONS:
        for word in regex.findall(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", caption.lower()):
            chars = [symbols[b] for b in word.encode()]
            words[(*chars[:-1], chars[-1] + "</w>")] += 1
    base = sorted(symbols.values())
    vocab, merges = base + [s + "</w>" for s in base], []
    while len(merges) < MERGES:
        pairs = Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        if "".join(best) not in vocab:
            vocab.append("".join(best))
        words = Counter({merged(word, best): n for word, n in words.items()})
    return {t: i for i, t in enumerate(vocab + ["<|startoftext|>", "<|endoftext|>"])}, merges


def merged(word, pair):
    out, i = [], 0
    while i < len(word):
        step = 2 if word[i:i + 2] == pair else 1
        out.append("".join(word[i:i + step]))
        i += step
    return tuple(out)


def written(content, normalized):
    return {"content": content, "lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False}


START, END = "<|startoftext|>", "<|endoftext|>"
SETS = {  # the ways special tokens are written in published models
    "plain": {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END},
    "objects": {"bos_token": written(START, True), "eos_token": written(END, True), "pad_token": END,
                "unk_token": written(END, True)},
    "bang": {"bos_token": written(START, True), "eos_token": written(END, True), "pad_token": "!",
             "unk_token": written(END, True)},
}

TEXTS = [
    b"", b" ", b"a", b"A Red Ball", b"  a   red\tball\n\non\r\na green field  ", b"it's they're we've I'm you'll he'd can't",
    b"IT'S THEY'RE WE'VE I'M YOU'LL HE'D CAN'T", b"'s", b"''s", b"'S 't 'RE", b"rock'n'roll ain't", b"o'clock 'tis",
    "it\u2019s curly".encode(), b"1234567890", b"a1b2c3", b"3.14159, -2e10; 50%", b"12 panes", "\u0661\u0662\u0663 \u2163 \u00bd \u2460".encode(),
    b"hello!!! world??? ...", b"!", b"!!", b"a!b", b"#hashtag @user $5 ^_^ \\o/ ~`|", b"(((red:1.3)), [blue])", b"<b>html</b> &amp;",
    b"<|startoftext|>", b"<|endoftext|>", b"a<|endoftext|>b", b"a <|EndOfText|> b", b"<|STARTOFTEXT|>!!", b"<|endoftext|",
    b"!!<|ENDOFTEXT|>!!", b"<|endoftext|><|endoftext|>", b"|<|startoftext|>|", b"</w>", b"ball</w>",
    "caf\u00e9 na\u00efve fa\u00e7ade".encode(), "cafe\u0301 nai\u0308ve fac\u0327ade".encode(), "\u00c9COLE \u00c0 \u00d1".encode(),
    "a\u0323\u0307 a\u0307\u0323 q\u0307\u0323 \u1e69 s\u0323\u0307".encode(), "\u212b \u2126 K \u00c5".encode(), "\u0958 \u0915\u093c \u0928\u093f".encode(),
    "\u1100\u1161\u11a8 \uac01 \uac00\u11a8 \u1112\u1161\u11ab\u1100\u1173\u11af \ud55c\uad6d\uc5b4".encode(),
    "\u4e2d\u6587\u8bd7 \u65e5\u672c\u8a9e\u306e\u30c6\u30b9\u30c8 \u30ab\u3099 \u304b\u3099 \uf900 \ufa1e".encode(), "\u3000\u5168\u89d2\u3000\uff21\uff22\uff11".encode(),
    "\u0130stanbul \u0131 I\u0307 \u01c5 \u1e9e \u03a3\u03a3 \u039f\u0394\u039f\u03a3".encode(), "\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440".encode(),
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u05e9\u05dc\u05d5\u05dd".encode(), "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0928\u092e\u0938\u094d\u0924\u0947 \u0ba4\u0bae\u0bbf\u0bb4\u0bcd".encode(),
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f \U0001f44d\U0001f3fd".encode(), "x\u200dy\u200bz\ufeffw\u00adv".encode(),
    "\u00a0non\u00a0breaking\u2003em\u2028line\u2029para\u0085nel\u1680ogham\u180emongol".encode(), b"nul\x00bell\x07esc\x1bdel\x7f", b"\x1c\x1d\x1e\x1f\x0b\x0c",
    "\U0001d400\U0001d49c \U00010400 \U00020000 \U000e0001 \U0010ffff \ufffe".encode(), "\ufb01 \u2122 \u00b2 \u3392".encode(), "Z\u0351\u036b\u0343\u036a\u0302a\u0321\u030al\u0489go".encode(),
    b"\xff", b"\x80abc", b"abc\xc3", b"\xc3(", b"\xe2\x82", b"\xe2\x28\xa1", b"\xf0\x9f\x98", b"\xf0\x28\x8c\xbc", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80", b"red \xe9 ball", b"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf", b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    b"painting" * 30, b"a red ball on a green field " * 12, b"- -- --- ---- ----- ------", b"\xe2\x80\xa6 \xe2\x80\x94 \xc2\xab\xc2\xbb",
]


def random_texts(count):
    draw = random.Random(3)
    words = " ".join(CAPTIONS).split()
    pools = [list(range(0x20, 0x7F)), list(range(0xA0, 0x250)), list(range(0x300, 0x370)), list(range(0x370, 0x600)),
             list(range(0x900, 0xA00)), list(range(0x1E00, 0x2070)), list(range(0x3040, 0x3100)), list(range(0xAC00, 0xAD00)),
             list(range(0x1F300, 0x1F700)), [9, 10, 13, 32, 0x27, 0x85, 0xA0, 0x2009]]
    for _ in range(count):
        parts = []
        for _ in range(draw.randint(1, 7)):
            kind = draw.random()
            if kind < 0.4:
                word = draw.choice(words)
                parts.append(draw.choice([word, word.upper(), word.title(), word + draw.choice(["'s", "!", "s", ","])]))
            else:
                pool = draw.choice(pools)
                parts.append("".join(chr(draw.choice(pool)) for _ in range(draw.randint(1, 5))))
        yield draw.choice(["", " "]).join(parts).encode()
    for _ in range(count // 5):
        yield bytes(draw.randrange(256) for _ in range(draw.randint(1, 12)))


def main():
    folder = Path(sys.argv[1]) / "tests/parity/tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    vocab, merges = learn()
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False) + "\n")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    lines = []
    for name, special in SETS.items():
        config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77} | special
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
        (folder / f"special_{name}.json").write_text(json.dumps(config, indent=2) + "\n")
        (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")
        tokenizer = CLIPTokenizer.from_pretrained(folder)
        for text in TEXTS + (list(random_texts(400)) if name == "plain" else []):
            ids = tokenizer(text.decode(errors="replace"), truncation=True, max_length=77)["input_ids"]
            lines.append(f"{name} {text.hex() or '-'} {' '.join(map(str, ids))}\n")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink()
    (folder / "ids.txt").write_text("".join(lines))


main()
