"""Makes the committed reference of token merging: references/merged_attention.safetensors.

    python tests/parity/make_merging_references.py [OUT_FOLDER]

Needs numpy and safetensors. One self-attention with random weights over the tokens of a small map, merged and
unmerged as Bolya and Hoffman say (arXiv 2303.17604, sections 3 and 4), written token by token in f64 (their own
package, tomesd 0.1.3, answers the same to 1.2e-7 where it compares the same states):

    model.NAME                  the attention as diffusers names it
    run.N.in.hidden_states      [2, h * w, 8]
    run.N.in.size               h, w
    run.N.in.corner             [h / 2, w / 2] which token of each 2x2 block stays, row by row
    run.N.in.ratio              the share of tokens that are merged away
    run.N.out.hidden_states     [2, h * w, 8] what the attention answers
"""

import sys
from pathlib import Path

import numpy
from safetensors.numpy import save_file

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "references"
WIDTH, HEADS = 8, 2


def cosine(a, b):
    return float(a @ b / (numpy.linalg.norm(a) * numpy.linalg.norm(b)))


def groups_of(tokens, h, w, corner, ratio):
    """Which tokens are one: lists of places, each with the one that the others were merged into first."""
    kept = [(2 * y + corner[y, x] // 2) * w + 2 * x + corner[y, x] % 2 for y in range(h // 2) for x in range(w // 2)]
    loose = [place for place in range(h * w) if place not in kept]
    nearest = {}
    for place in loose:
        nearest[place] = max((cosine(tokens[place], tokens[other]), other) for other in kept)
    ranked = sorted(loose, key=lambda place: -nearest[place][0])
    going = ranked[:int(ratio * h * w)]
    groups = {place: [place] for place in range(h * w) if place not in going}
    for place in going:
        groups[nearest[place][1]].append(place)
    return list(groups.values())


def attention(tokens, weights):
    """Multi-head self-attention, [t, WIDTH] -> same."""
    d = WIDTH // HEADS
    q, k, v = (tokens @ weights[f"to_{name}.weight"].T for name in "qkv")
    heads = []
    for i in range(0, WIDTH, d):
        scores = q[:, i:i + d] @ k[:, i:i + d].T / d ** 0.5
        scores = numpy.exp(scores - scores.max(1, keepdims=True))
        heads.append(scores / scores.sum(1, keepdims=True) @ v[:, i:i + d])
    return numpy.concatenate(heads, 1) @ weights["to_out.0.weight"].T + weights["to_out.0.bias"]


def merged_attention(tokens, h, w, corner, ratio, weights):
    groups = groups_of(tokens, h, w, corner, ratio)
    answers = attention(numpy.stack([tokens[group].mean(0) for group in groups]), weights)
    out = numpy.empty_like(tokens)
    for group, answer in zip(groups, answers):
        out[group] = answer
    return out


def run(random, size, ratio, weights):
    h, w = size
    # Neighbours are alike, as in a picture.
    coarse = random.standard_normal((2, h // 2 + 1, w // 2 + 1, WIDTH))
    fine = numpy.repeat(numpy.repeat(coarse, 2, 1), 2, 2)[:, :h, :w]
    tokens = (fine + 0.7 * random.standard_normal(fine.shape)).astype("f4").reshape(2, h * w, WIDTH)
    corner = random.integers(0, 4, (h // 2, w // 2))
    wide = {name: value.astype("f8") for name, value in weights.items()}
    out = numpy.stack([merged_attention(row.astype("f8"), h, w, corner, ratio, wide) for row in tokens])
    return ({"hidden_states": tokens, "size": numpy.array(size), "corner": corner, "ratio": numpy.array(ratio)},
            {"hidden_states": out.astype("f4")})


def main():
    random = numpy.random.default_rng(50)
    weights = {f"to_{name}.weight": random.standard_normal((WIDTH, WIDTH)) / 8 ** 0.5 for name in ("q", "k", "v", "out.0")}
    weights["to_out.0.bias"] = 0.1 * random.standard_normal(WIDTH)
    weights = {name: value.astype("f2").astype("f4") for name, value in weights.items()}
    tensors = {f"model.attn1.{name}": value for name, value in weights.items()}
    # Odd sides leave a row and a column that are never merged into.
    for i, (size, ratio) in enumerate([((6, 4), 0.5), ((5, 7), 0.3), ((4, 4), 0.75), ((3, 2), 0.75), ((4, 3), 0.05)]):
        inputs, outputs = run(random, size, ratio, weights)
        tensors |= {f"run.{i}.in.{name}": value for name, value in inputs.items()}
        tensors |= {f"run.{i}.out.{name}": value for name, value in outputs.items()}
    path = OUT / "merged_attention.safetensors"
    save_file({name: numpy.ascontiguousarray(value) for name, value in tensors.items()}, path,
              {"config": '{"width": %d, "heads": %d}' % (WIDTH, HEADS)})
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
