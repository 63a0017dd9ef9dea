"""Makes the committed reference of frames that see each other: references/unet_coupled.safetensors.

    python tests/parity/make_coupling_references.py [OUT_FOLDER]

Needs what make_references.py needs. A small UNet of diffusers with random weights runs on a batch of frames in
two branches of guidance, with attention processors and hooks of our own that are written from the papers:
extended attention (keys and values of other frames), TokenFlow's gather, and plug-and-play's injection of
features, queries and keys. Everything runs as one batch, row by row inside the attentions; weft runs the same in
several calls with a bank between. Runs:

    0  extended attention
    1  TokenFlow's gather, published weights, correspondences from the second branch
    2  extended attention and injection from the source's rows
    3  TokenFlow's gather by distance, correspondences from the source's rows, and injection
"""

import torch
from diffusers import UNet2DConditionModel
from make_references import CROSS, PLAIN, config_of, levels, randomise, save

FRAMES, REFERENCES, BRANCHES = 5, 3, 2
SEES = torch.tensor([[-1, -1], [0, -1], [1, 0], [1, 2], [2, -1]])
DISTANCE = torch.tensor([[1.0, 1], [1, 1], [1, 1], [1, 3], [2, 1]])


class Rule:
    """What one run does: which rows stand where and what is linked and injected."""

    def __init__(self, tokens=False, published=False, source=False):
        self.tokens, self.published, self.source = tokens, published, source

    def start(self, branch):
        return (FRAMES if self.source else 0) + branch * FRAMES

    def telling(self):
        return 0 if self.source else self.start(1)

    def weights(self, frame):
        seen = [j for j in range(2) if SEES[frame, j] >= 0]
        if len(seen) < 2:
            return [1.0] * len(seen)
        first, second = DISTANCE[frame]
        ratio = second / (first + second)
        share = torch.sigmoid(ratio) if self.published else ratio
        return [share, 1 - share]


class Processor:
    def __init__(self, rule, injected):
        self.rule, self.injected = rule, injected

    def attention(self, attn, x, row, others):
        """One row's queries at its own and the other rows' keys and values; both may be lists of rows."""
        rule = self.rule

        def mapped(r):
            return r % FRAMES if self.injected and rule.source and r >= FRAMES else r

        q = attn.head_to_batch_dim(attn.to_q(x[mapped(row)])[None])
        rows = [row] + others
        k = attn.head_to_batch_dim(torch.cat([attn.to_k(x[mapped(r)]) for r in rows])[None])
        v = attn.head_to_batch_dim(torch.cat([attn.to_v(x[r]) for r in rows])[None])
        weights = (q @ k.transpose(1, 2) * attn.scale).softmax(-1)
        return attn.to_out[0](attn.batch_to_head_dim(weights @ v))[0]

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **_):
        rule, x = self.rule, hidden_states
        out = torch.zeros_like(x)
        for row in range(rule.start(0)):
            out[row] = self.attention(attn, x, row, [])
        for branch in range(BRANCHES):
            start = rule.start(branch)
            for frame in range(FRAMES):
                seen = [int(j) for j in SEES[frame] if j >= 0]
                if frame < REFERENCES or not rule.tokens:
                    out[start + frame] = self.attention(attn, x, start + frame, [start + j for j in seen])
                    continue
                for j, weight in zip(seen, rule.weights(frame)):
                    own, other = x[rule.telling() + frame], x[rule.telling() + j]
                    cosine = torch.cosine_similarity(own[:, None], other[None], dim=-1)
                    out[start + frame] += weight * out[start + j][cosine.argmax(1)]
        return out


def run(model, rule, seed):
    torch.manual_seed(seed)
    x = torch.randn(FRAMES, 4, 8, 8)
    inputs = {
        "sample": x.repeat(BRANCHES, 1, 1, 1),
        "timestep": torch.tensor(300.0),
        "encoder_hidden_states": torch.randn(BRANCHES, 5, 12).repeat_interleave(FRAMES, 0),
        "sees": SEES.clone(),
        "distance": DISTANCE.clone(),
    }
    sample, text = inputs["sample"], inputs["encoder_hidden_states"]
    if rule.source:
        inputs["source"] = torch.randn(FRAMES, 4, 8, 8)
        inputs["source_text"] = torch.randn(1, 5, 12).repeat(FRAMES, 1, 1)
        sample = torch.cat([inputs["source"], sample])
        text = torch.cat([inputs["source_text"], text])

    plain = model.attn_processors
    own = {}
    for name, processor in plain.items():
        if ".attn1." not in name:
            own[name] = processor
            continue
        injected = name.startswith("up_blocks.") and not name.startswith("up_blocks.1.attentions.0.")
        own[name] = Processor(rule, injected)
    model.set_attn_processor(own)

    def features(_module, _inputs, output):
        return output[:FRAMES].repeat(1 + BRANCHES, 1, 1, 1) if rule.source else output

    hook = model.up_blocks[1].resnets[1].conv2.register_forward_hook(features)
    with torch.no_grad():
        answer = model(sample, inputs["timestep"], text).sample
    hook.remove()
    model.set_attn_processor(plain)
    return inputs, {"sample": answer[rule.start(0):]}


def main():
    model = randomise(UNet2DConditionModel(
        in_channels=4, out_channels=4, norm_num_groups=4, sample_size=8, layers_per_block=1,
        block_out_channels=[8, 8, 8], attention_head_dim=2, cross_attention_dim=12,
        **levels(CROSS, CROSS, PLAIN)), 40)
    rules = [Rule(), Rule(tokens=True, published=True), Rule(source=True),
             Rule(tokens=True, source=True)]
    save("unet_coupled", model, config_of(model), [run(model, rule, 41 + i) for i, rule in enumerate(rules)])


if __name__ == "__main__":
    main()
