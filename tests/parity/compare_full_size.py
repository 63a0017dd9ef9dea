"""Compares a full-size UNet of weft with diffusers' on random weights.

    python tests/parity/compare_full_size.py sd15|sdxl WEFT_PROGRAM [FOLDER]

Makes the released shape with random weights (3.4 GB for sd15, 10.3 GB for sdxl, f32, under FOLDER, a
temporary folder otherwise), runs diffusers on it in a process of its own, then `weft probe unet` on the
same tensors, and prints the largest difference, absolute and relative to the largest answer. Exits with 1
above 1e-3. Needs torch, diffusers and safetensors, and as much memory as the weights take and a half more.
"""
import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BOUND = 1e-3
CROSS, PLAIN = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D"), ("DownBlock2D", "UpBlock2D")


def levels(*kinds):
    return {"down_block_types": [k[0] for k in kinds], "up_block_types": [k[1] for k in reversed(kinds)]}


SHAPES = {
    "sd15": dict(sample_size=64, block_out_channels=[320, 640, 1280, 1280], cross_attention_dim=768,
                 attention_head_dim=8, **levels(CROSS, CROSS, CROSS, PLAIN)),
    "sdxl": dict(sample_size=128, block_out_channels=[320, 640, 1280], cross_attention_dim=2048,
                 attention_head_dim=[5, 10, 20], transformer_layers_per_block=[1, 2, 10],
                 use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256,
                 projection_class_embeddings_input_dim=2816, **levels(PLAIN, CROSS, CROSS)),
}


def make(shape, folder):
    """Weights, inputs and diffusers' answer."""
    import torch
    from diffusers import UNet2DConditionModel
    from safetensors.torch import save_file

    torch.manual_seed(0)
    unet = UNet2DConditionModel(**SHAPES[shape]).eval()
    for parameter in unet.parameters():  # diffusers leaves norms at 1 and 0
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    inputs = {"sample": torch.randn(1, 4, 32, 32), "timestep": torch.tensor(601.0),
              "encoder_hidden_states": torch.randn(1, 77, SHAPES[shape]["cross_attention_dim"])}
    added = None
    if shape == "sdxl":
        added = {"text_embeds": torch.randn(1, 1280),
                 "time_ids": torch.tensor([[1024.0, 1024, 0, 0, 1024, 1024]])}
        inputs |= added
    start = time.time()
    with torch.no_grad():
        out = unet(inputs["sample"], inputs["timestep"], inputs["encoder_hidden_states"],
                   added_cond_kwargs=added).sample
    print(f"diffusers: {time.time() - start:.1f} s", flush=True)
    save_file(inputs, folder / "in.safetensors")
    save_file({"out": out}, folder / "expected.safetensors")
    unet.save_pretrained(folder / "model" / "unet", max_shard_size="2GB")
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    (folder / "model" / "model_index.json").write_text(json.dumps(index))


def compare(weft, folder):
    from safetensors.torch import load_file

    start = time.time()
    subprocess.run([weft, "probe", "unet", "--model", folder / "model", "--in", folder / "in.safetensors",
                    "--out", folder / "out.safetensors", "--device", "cpu", "--dtype", "f32"], check=True)
    print(f"weft, loading included: {time.time() - start:.1f} s")
    expected = load_file(folder / "expected.safetensors")["out"]
    error = (load_file(folder / "out.safetensors")["out"] - expected).abs().max().item()
    size = expected.abs().max().item()
    print(f"largest difference {error:.3g}, largest answer {size:.3g}, relative {error / size:.3g}")
    return error <= BOUND


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("weft", help="the program, or 'make' (used by the script itself)")
    parser.add_argument("folder", nargs="?", type=Path)
    options = parser.parse_args()
    if options.weft == "make":
        make(options.shape, options.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        (folder / "model").mkdir(parents=True, exist_ok=True)
        # A process of its own, so that its memory is free when weft runs.
        subprocess.run([sys.executable, __file__, options.shape, "make", folder], check=True)
        sys.exit(0 if compare(options.weft, folder) else 1)


main()
