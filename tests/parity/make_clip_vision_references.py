"""Makes the committed reference that weft's CLIP image tower is checked against.

    python tests/parity/make_clip_vision_references.py [OUT_FOLDER]

Needs torch, transformers and safetensors. One CLIPModel with random weights (rounded to f16) and what
transformers answers in f32:

    model.NAME         the weights as transformers names them
    run.0.in.picture   [1, 3, 20, 30] in [0, 1]
    run.0.out.NAME     pixel_values (of the picture), last_hidden_state, pooled, embeds
"""

import json
import sys
from pathlib import Path

import numpy
import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "references"
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def randomise(model, seed):
    """Every parameter random, none left at 0 or 1, and exact in f16."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() > 1 and "embedding.weight" not in name:
            value = noise / parameter[0].numel() ** 0.5
        else:
            value = 0.1 * noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
        parameter.data = value.half().float()
    return model.eval()


def prepared(picture, side):
    """CLIPImageProcessor in floats: bicubic with antialiasing, the middle cut out, normalised."""
    height, width = picture.shape[2:]
    shorter = min(height, width)
    size = (side * height // shorter, side * width // shorter)
    small = torch.nn.functional.interpolate(picture, size, mode="bicubic", antialias=True).clamp(0, 1)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    cut = small[:, :, top : top + side, left : left + side]
    return (cut - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(DEVIATION).view(1, 3, 1, 1)


config = CLIPConfig(
    text_config=dict(vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
                     num_attention_heads=2, max_position_embeddings=12, bos_token_id=38, eos_token_id=39),
    vision_config=dict(hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=3,
                       image_size=16, patch_size=4, hidden_act="quick_gelu"),
    projection_dim=10,
)
model = randomise(CLIPModel(config), 1)
picture = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(2)).half().float()
pixels = prepared(picture, 16)
with torch.no_grad():
    states = model.vision_model(pixel_values=pixels)
    embeds = model.visual_projection(states.pooler_output)
tensors = {f"model.{k}": v.half() for k, v in model.named_parameters()}
tensors |= {"run.0.in.picture": picture, "run.0.out.pixel_values": pixels,
            "run.0.out.last_hidden_state": states.last_hidden_state,
            "run.0.out.pooled": states.pooler_output, "run.0.out.embeds": embeds}
path = OUT / "clip_vision.safetensors"
text = json.dumps(config.to_dict(), default=lambda value: None)
save_file({k: v.contiguous() for k, v in tensors.items()}, path, {"config": text})
print(f"{path.name}: {path.stat().st_size} bytes, embeds {numpy.round(embeds[0, :4].numpy(), 3)}")
