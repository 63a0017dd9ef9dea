"""Makes the committed references that weft's RAFT is checked against.

    python tests/parity/make_flow_references.py [OUT_FOLDER] [--full]

Needs torch, torchvision and safetensors. Each file holds a RAFT of torchvision with few channels and random
weights (rounded to f16), two pictures, and what torchvision answers in f32:

    model.NAME                  the weights as torchvision names them
    run.0.in.target, .source    [1, 3, h/2, w/2] in [-1, 1]; each value stands for 2x2 pixels
    run.0.out.flow.I            every third pixel of the flow after update I, [1, 2, ceil(h/3), ceil(w/3)]

--full writes raft_large and raft_small as they are (20 MB, not to be committed).
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torchvision.models.optical_flow import raft, raft_large, raft_small

ARGUMENTS = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
OUT = Path(ARGUMENTS[0]) if ARGUMENTS else Path(__file__).parent / "references"
HEIGHT, WIDTH, UPDATES = 128, 136, 12


def randomise(model, seed):
    """Every parameter and statistic random, none left at 0 or 1, and exact in f16."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in list(model.named_parameters()) + list(model.named_buffers()):
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=generator)
        if value.dim() > 1:
            # Small steps: a flow of many pixels would only measure how errors grow.
            gain = 0.1 if "flow_head.conv2" in name else 1.0
            drawn = gain * noise / value[0].numel() ** 0.5
        elif "running_var" in name:
            drawn = 1 + 0.5 * noise.tanh()
        else:
            drawn = 0.1 * noise + (1.0 if name.endswith("1.weight") else 0.0)
        value.data = drawn.half().float()
    return model.eval()


def tiny(large):
    """The layout of the large or the small model with few channels."""
    block = raft.ResidualBlock if large else raft.BottleneckBlock
    context_norm = torch.nn.BatchNorm2d if large else None
    hidden = 12
    predictor = raft.MaskPredictor(in_channels=hidden, hidden_size=8) if large else None
    return raft._raft(
        feature_encoder_layers=(8, 8, 12, 16, 20),
        feature_encoder_block=block,
        feature_encoder_norm_layer=torch.nn.InstanceNorm2d,
        context_encoder_layers=(8, 8, 12, 16, hidden + 10),
        context_encoder_block=block,
        context_encoder_norm_layer=context_norm,
        corr_block_num_levels=4,
        corr_block_radius=4 if large else 3,
        motion_encoder_corr_layers=(16, 12) if large else (12,),
        motion_encoder_flow_layers=(12, 8),
        motion_encoder_out_channels=14,
        recurrent_block_hidden_state_size=hidden,
        recurrent_block_kernel_size=((1, 5), (5, 1)) if large else (3,),
        recurrent_block_padding=((0, 2), (2, 0)) if large else (1,),
        flow_head_hidden_size=16,
        use_mask_predictor=False,
        mask_predictor=predictor,
    )


def save(name, model, seed):
    generator = torch.Generator().manual_seed(seed + 100)
    source = torch.rand(1, 3, HEIGHT // 2, WIDTH // 2, generator=generator).half().float() * 2 - 1
    target = torch.roll(source, (2, -3), (2, 3)) * 0.9
    target, source = target.half().float(), source.half().float()
    whole = [x.repeat_interleave(2, 2).repeat_interleave(2, 3) for x in (target, source)]
    with torch.no_grad():
        flows = model(*whole, num_flow_updates=UPDATES)
    tensors = {f"model.{k}": v.half() for k, v in model.state_dict().items() if v.is_floating_point()}
    tensors |= {"run.0.in.target": target.half(), "run.0.in.source": source.half()}
    for i in (0, UPDATES - 1):
        tensors[f"run.0.out.flow.{i}"] = flows[i][:, :, ::3, ::3]
    path = OUT / f"{name}.safetensors"
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, {"config": "{}"})
    print(f"{path.name}: {path.stat().st_size} bytes, flow up to {flows[-1].abs().max():.3g} px")


OUT.mkdir(parents=True, exist_ok=True)
if "--full" in sys.argv:
    save("raft_large", randomise(raft_large(), 3), 3)
    save("raft_small", randomise(raft_small(), 4), 4)
else:
    save("raft_tiny_large", randomise(tiny(large=True), 1), 1)
    save("raft_tiny_small", randomise(tiny(large=False), 2), 2)
