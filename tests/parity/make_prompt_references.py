"""Writes tests/parity/prompts.safetensors and tests/parity/embeddings: what prompts become in a small text encoder
with the tokenizer of tests/parity/models/sd.

    python tests/parity/make_prompt_references.py REPOSITORY

Plain prompts, skipped layers and textual inversion are what diffusers' StableDiffusionPipeline.encode_prompt
makes of them. Weights and chunks, which diffusers leaves to others, follow the rules of the AUTOMATIC1111 web UI,
written here from their description (see diffusion/prompt.h) over the ids and states of transformers.

model.NAME is the encoder; each case has CASE/states [t, d] and its options as JSON in the file's metadata. Cases of
"sdxl" are of the tiny SDXL model of tests/parity/families and have CASE/pooled [p] too.
"""
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import save_file
from transformers import CLIPTextModel

ROOM = 75
NEAR = 20
LONG = ", ".join(["a red ball", "winter snow at night", "the café's small boats"] * 9)
COMMALESS = " ".join(["ball"] * 160)


def weighted_parts(prompt):
    """[(text, weight)], None for BREAK: each run of text with the product of the brackets around it."""
    pieces = re.findall(r"\\[()\[\]\\]|\\|[(\[]|:\s*[+-]?[.\d]+\s*\)|[)\]]|[^\\()\[\]:]+|:", prompt)
    runs, opened = [], {"(": [], "[": []}
    for piece in pieces:
        weight = re.fullmatch(r":\s*([+-]?[.\d]+)\s*\)", piece)
        if piece[0] == "\\":
            runs.append([piece[1:], []])
        elif piece in "([":
            opened[piece].append(len(runs))
        elif weight and opened["("]:
            spread(runs, opened["("].pop(), float(weight[1]))
        elif piece == ")" and opened["("]:
            spread(runs, opened["("].pop(), 1.1)
        elif piece == "]" and opened["["]:
            spread(runs, opened["["].pop(), 1 / 1.1)
        else:
            for i, text in enumerate(re.split(r"\s*\bBREAK\b\s*", piece)):
                runs += [[None, []]] if i else []
                runs.append([text, []])
    for begin in opened["("]:
        spread(runs, begin, 1.1)
    for begin in opened["["]:
        spread(runs, begin, 1 / 1.1)
    return joined([(text, product(factors)) for text, factors in runs])


def spread(runs, begin, factor):
    for run in runs[begin:]:
        run[1].append(factor)


def product(factors):
    value = 1.0
    for factor in factors:
        value *= factor
    return value


def joined(parts):
    out = []
    for text, weight in parts:
        if text is not None and out and out[-1][0] is not None and out[-1][1] == weight:
            out[-1] = (out[-1][0] + text, weight)
        else:
            out.append((text, weight))
    return out


def chunked(tokenizer, prompt):
    """[[(id, weight)]], at most ROOM each, cut after a near comma."""
    comma = tokenizer(",", add_special_tokens=False).input_ids[0]
    chunks = [[]]
    for text, weight in weighted_parts(prompt):
        if text is None:
            chunks.append([])
            continue
        for token in tokenizer(text, add_special_tokens=False, truncation=False).input_ids:
            if len(chunks[-1]) == ROOM:
                commas = [i for i, (known, _) in enumerate(chunks[-1]) if known == comma]
                moved = []
                if token != comma and commas and ROOM - commas[-1] <= NEAR:
                    moved = chunks[-1][commas[-1] + 1 :]
                    chunks[-1] = chunks[-1][: commas[-1] + 1]
                chunks.append(moved)
            chunks[-1].append((token, weight))
    return chunks if chunks[-1] or len(chunks) == 1 else chunks[:-1]


def encode_chunks(tokenizer, encode, prompt):
    """The weighted states of all chunks, and the encoder's answer to the first; encode: ids -> (states, answer)."""
    rows, answers = [], []
    for chunk in chunked(tokenizer, prompt):
        padding = [tokenizer.pad_token_id] * (ROOM - len(chunk))
        ids = [tokenizer.bos_token_id] + [token for token, _ in chunk] + [tokenizer.eos_token_id] + padding
        weights = torch.tensor([1.0] + [weight for _, weight in chunk] + [1.0] * (1 + len(padding)))
        states, answer = encode(torch.tensor([ids]))
        scaled = states * weights[:, None]
        plain = bool((weights == 1).all())
        rows.append(states if plain else scaled * (states.mean() / scaled.mean()))
        answers.append(answer)
    return torch.cat(rows), answers[0]


def encode_weighted(pipe, prompt):
    last = lambda ids: (pipe.text_encoder(ids).last_hidden_state[0], None)
    return encode_chunks(pipe.tokenizer, last, prompt)[0]


def encode_weighted_xl(pipe, prompt):
    def penultimate(encoder):
        def encode(ids):
            out = encoder(ids, output_hidden_states=True)
            return out.hidden_states[-2][0], out[0][0]
        return encode

    first, _ = encode_chunks(pipe.tokenizer, penultimate(pipe.text_encoder), prompt)
    second, pooled = encode_chunks(pipe.tokenizer_2, penultimate(pipe.text_encoder_2), prompt)
    return torch.cat([first, second], -1), pooled


def encode_plain(pipe, prompt, clip_skip):
    skip = clip_skip - 1 or None
    return pipe.encode_prompt(prompt, "cpu", 1, False, clip_skip=skip)[0][0]


def embeddings(folder):
    """The same words in the layouts of three programs; XL's holds one for each of two encoders."""
    generator = torch.Generator().manual_seed(5)
    draw = lambda *shape: torch.randn(*shape, generator=generator) * 0.1
    files = {
        "cat-toy": {"<cat-toy>": draw(16)},
        "many": {"<many>": draw(3, 16)},
        "my-style": {"emb_params": draw(2, 16)},
        "both": {"clip_l": draw(2, 16), "clip_g": draw(2, 24)},
        "xl": {"clip_l": draw(2, 8), "clip_g": draw(2, 12)},
    }
    folder.mkdir(exist_ok=True)
    for name, tensors in files.items():
        save_file(tensors, folder / f"{name}.safetensors")
    return files


def randomise(model):
    """No norm is left at 1 and 0, where the mean of all states would be 0; exact in f16."""
    generator = torch.Generator().manual_seed(4)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            base = 1.0 if "norm" in name and name.endswith("weight") else 0.3
            parameter.data = base + 0.2 * torch.randn(parameter.shape, generator=generator)
        parameter.data = parameter.data.half().float()


def sdxl_cases(parity, files):
    folder = Path(tempfile.mkdtemp()) / "sdxl"
    for layer in ("models/sd", "families/sdxl"):
        shutil.copytree(parity / layer, folder, dirs_exist_ok=True)
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    plain = "a Red ball's café, 42"
    states, _, pooled, _ = pipe.encode_prompt(plain, plain, "cpu", 1, False)
    yield (states[0], pooled[0]), dict(prompt=plain)
    for prompt in ("a (red ball:1.3) at night", LONG, f"({LONG}:1.2), end BREAK more"):
        yield encode_weighted_xl(pipe, prompt), dict(prompt=prompt)
    pipe.load_textual_inversion({"<xl>": files["xl"]["clip_l"]}, text_encoder=pipe.text_encoder, tokenizer=pipe.tokenizer)
    pipe.load_textual_inversion({"<xl>": files["xl"]["clip_g"]}, text_encoder=pipe.text_encoder_2,
                                tokenizer=pipe.tokenizer_2)
    states, _, pooled, _ = pipe.encode_prompt("a <xl> ball", "a <xl> ball", "cpu", 1, False)
    yield (states[0], pooled[0]), dict(prompt="a <xl> ball", embeddings=["xl.safetensors:<xl>"])


# diffusers 0.37 asks for transformers 4's nesting when it skips layers.
CLIPTextModel.text_model = property(lambda model: model)


@torch.no_grad()
def main():
    parity = Path(sys.argv[1]) / "tests/parity"
    pipe = StableDiffusionPipeline.from_pretrained(parity / "models/sd", safety_checker=None, torch_dtype=torch.float32)
    randomise(pipe.text_encoder)
    tensors = {f"model.{name}": value.half() for name, value in pipe.text_encoder.named_parameters()}
    metadata = {}

    def add(states, **case):
        name = str(len(metadata))
        tensors[f"{name}/states"] = states.detach().contiguous()
        metadata[name] = json.dumps(case)

    for prompt in ("", "a Red ball's café, 42", "night boats at winter"):
        for clip_skip in (1, 2):
            add(encode_plain(pipe, prompt, clip_skip), prompt=prompt, clip_skip=clip_skip)
    for prompt in (
        "a (red ball:1.3) at night", "a (red) ball", "((a)) [[red]] ball", "[a (red:1.5) ball", "(a: 0.5 ) ball (x",
        r"a \(red\) (ball\::1.2) b\\c", "a) red] ball:1.3)", "(a ((red) ball:0.7):1.4), [snow:2]", "(a:-0.5) b",
        "a BREAK b", "red BREAKfast, BREAK  (snow)BREAK", "BREAK", LONG, f"({LONG}:1.2), end",
        COMMALESS, f"({COMMALESS}) [ball, ball]", ", ".join(["ball"] * 60), "x " * 74 + ", y z",
    ):
        add(encode_weighted(pipe, prompt), prompt=prompt)
    files = embeddings(parity / "embeddings")
    pipe.load_textual_inversion(files["cat-toy"])
    pipe.load_textual_inversion(files["many"])
    pipe.load_textual_inversion({"<my-style>": files["my-style"]["emb_params"]})
    names = ["cat-toy.safetensors", "many.safetensors", "my-style.safetensors:<my-style>"]
    for prompt in ("<cat-toy>", "a<cat-toy>ball, <many> at <my-style>", "snow <many><cat-toy>", "no such word"):
        add(encode_plain(pipe, prompt, 1), prompt=prompt, embeddings=names)
    for (states, pooled), case in sdxl_cases(parity, files):
        tensors[f"{len(metadata)}/pooled"] = pooled.contiguous()
        add(states, model="sdxl", **case)
    save_file(tensors, parity / "prompts.safetensors", metadata)
    for file in [parity / "prompts.safetensors", *(parity / "embeddings").glob("*")]:
        file.chmod(0o644)
        print(f"{file.name}: {file.stat().st_size} bytes")


main()
