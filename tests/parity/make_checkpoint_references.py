"""Writes tests/parity/checkpoints.json: how full-size models are named in single-file checkpoints.

    python tests/parity/make_checkpoint_references.py REPOSITORY

For each kind of model: the released configs of its components ("configs") and, for each component, the
number and a digest (FNV-1a, 64 bits) of the sorted lines "NAME [SHAPE]" that its checkpoint holds. The
original names are tabulated here level by level, as the models' authors number them, and checked with
diffusers' own conversion: applied to them it must give back every tensor of the diffusers model. Nothing
has data (meta device).
"""
import json
import re
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as theirs
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

CROSS, PLAIN = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D"), ("DownBlock2D", "UpBlock2D")


def levels(*kinds):
    return {"down_block_types": [k[0] for k in kinds], "up_block_types": [k[1] for k in reversed(kinds)]}


FOUR = levels(CROSS, CROSS, CROSS, PLAIN)
SD1 = dict(sample_size=64, in_channels=4, out_channels=4, block_out_channels=[320, 640, 1280, 1280],
           layers_per_block=2, cross_attention_dim=768, attention_head_dim=8, **FOUR)
SD2 = SD1 | dict(sample_size=96, cross_attention_dim=1024, attention_head_dim=[5, 10, 20, 20],
                 use_linear_projection=True)
XL = dict(sample_size=128, in_channels=4, out_channels=4, block_out_channels=[320, 640, 1280],
          layers_per_block=2, cross_attention_dim=2048, attention_head_dim=[5, 10, 20],
          transformer_layers_per_block=[1, 2, 10], use_linear_projection=True,
          addition_embed_type="text_time", addition_time_embed_dim=256,
          projection_class_embeddings_input_dim=2816, **levels(PLAIN, CROSS, CROSS))
REFINER = XL | dict(block_out_channels=[384, 768, 1536, 1536], cross_attention_dim=1280,
                    attention_head_dim=[6, 12, 24, 24], transformer_layers_per_block=4,
                    projection_class_embeddings_input_dim=2560, **levels(PLAIN, CROSS, CROSS, PLAIN))
UPSCALER = dict(sample_size=128, in_channels=7, out_channels=4, block_out_channels=[256, 512, 512, 1024],
                layers_per_block=2, cross_attention_dim=1024, attention_head_dim=8,
                use_linear_projection=True, only_cross_attention=[True, True, True, False],
                num_class_embeds=1000, **levels(PLAIN, CROSS, CROSS, CROSS))
CLIP_L = dict(vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
              num_attention_heads=12, projection_dim=768, hidden_act="quick_gelu", eos_token_id=49407)
CLIP_H = CLIP_L | dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23,
                       num_attention_heads=16, projection_dim=1024, hidden_act="gelu")
CLIP_G = CLIP_L | dict(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32,
                       num_attention_heads=20, projection_dim=1280, hidden_act="gelu")


def vae(scaling_factor, widths=(128, 256, 512, 512)):
    return dict(in_channels=3, out_channels=3, latent_channels=4, layers_per_block=2, norm_num_groups=32,
                block_out_channels=list(widths), scaling_factor=scaling_factor,
                down_block_types=["DownEncoderBlock2D"] * len(widths),
                up_block_types=["UpDecoderBlock2D"] * len(widths))


L, H, G = "cond_stage_model.transformer.", "cond_stage_model.model.", "conditioner.embedders.1.model."
KINDS = {
    "sd1": {"unet": SD1, "vae": vae(0.18215), "text_encoder": (CLIP_L, L)},
    "sd1-inpaint": {"unet": SD1 | {"in_channels": 9}, "vae": vae(0.18215), "text_encoder": (CLIP_L, L)},
    "instruct": {"unet": SD1 | {"in_channels": 8}, "vae": vae(0.18215), "text_encoder": (CLIP_L, L)},
    "sd2": {"unet": SD2, "vae": vae(0.18215), "text_encoder": (CLIP_H, H)},
    "sd2-depth": {"unet": SD2 | {"in_channels": 5, "sample_size": 64}, "vae": vae(0.18215),
                  "text_encoder": (CLIP_H, H)},
    "sdxl": {"unet": XL, "vae": vae(0.13025), "text_encoder_2": (CLIP_G, G),
             "text_encoder": (CLIP_L, "conditioner.embedders.0.transformer.")},
    "sdxl-refiner": {"unet": REFINER, "vae": vae(0.13025),
                     "text_encoder_2": (CLIP_G, "conditioner.embedders.0.model.")},
    "upscaler": {"unet": UPSCALER, "vae": vae(0.08333, (128, 256, 512)), "text_encoder": (CLIP_H, H)},
}


def replace_all(name, pairs):
    for new, old in pairs:
        name = name.replace(new, old)
    return name


def original_unet(model, labelled):
    """Prefix tables level by level, as CompVis' openaimodel.py counts its blocks."""
    config = model.config
    count, last, table = config.layers_per_block, len(config.block_out_channels) - 1, {}
    place = 1
    for level, kind in enumerate(config.down_block_types):
        for layer in range(count):
            table[f"down_blocks.{level}.resnets.{layer}."] = f"input_blocks.{place}.0."
            table[f"down_blocks.{level}.attentions.{layer}."] = f"input_blocks.{place}.1."
            place += 1
        if level < last:
            table[f"down_blocks.{level}.downsamplers.0.conv."] = f"input_blocks.{place}.0.op."
            place += 1
    place = 0
    for level, kind in enumerate(config.up_block_types):
        for layer in range(count + 1):
            table[f"up_blocks.{level}.resnets.{layer}."] = f"output_blocks.{place}.0."
            table[f"up_blocks.{level}.attentions.{layer}."] = f"output_blocks.{place}.1."
            place += 1
        if level < last:
            after = 2 if kind.startswith("CrossAttn") else 1
            table[f"up_blocks.{level}.upsamplers.0.conv."] = f"output_blocks.{place - 1}.{after}.conv."
    table |= {"mid_block.resnets.0.": "middle_block.0.", "mid_block.attentions.0.": "middle_block.1.",
              "mid_block.resnets.1.": "middle_block.2.", "conv_in.": "input_blocks.0.0.",
              "conv_norm_out.": "out.0.", "conv_out.": "out.2.", "time_embedding.linear_1.": "time_embed.0.",
              "time_embedding.linear_2.": "time_embed.2.", "add_embedding.linear_1.": "label_emb.0.0.",
              "add_embedding.linear_2.": "label_emb.0.2.", "class_embedding.": "label_emb."}
    inner = [("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("norm2", "out_layers.0"),
             ("conv2", "out_layers.3"), ("time_emb_proj", "emb_layers.1"), ("conv_shortcut", "skip_connection")]
    out = {}
    for name, tensor in model.state_dict().items():
        prefix = next(p for p in sorted(table, key=len, reverse=True) if name.startswith(p))
        rest = name[len(prefix):]
        out[table[prefix] + (replace_all(rest, inner) if ".resnets." in prefix else rest)] = tensor
    return {"model.diffusion_model." + name: tensor for name, tensor in out.items()}


def original_vae(model):
    last, out = len(model.config.block_out_channels) - 1, {}
    for name, tensor in model.state_dict().items():
        new = re.sub(r"encoder\.down_blocks\.(\d+)\.resnets\.", r"encoder.down.\1.block.", name)
        new = re.sub(r"encoder\.down_blocks\.(\d+)\.downsamplers\.0\.", r"encoder.down.\1.downsample.", new)
        new = re.sub(r"decoder\.up_blocks\.(\d+)\.resnets\.",
                     lambda m: f"decoder.up.{last - int(m[1])}.block.", new)
        new = re.sub(r"decoder\.up_blocks\.(\d+)\.upsamplers\.0\.",
                     lambda m: f"decoder.up.{last - int(m[1])}.upsample.", new)
        new = replace_all(new, [("mid_block.resnets.0", "mid.block_1"), ("mid_block.resnets.1", "mid.block_2"),
                                ("mid_block.attentions.0", "mid.attn_1"), ("conv_norm_out", "norm_out"),
                                ("conv_shortcut", "nin_shortcut")])
        if ".attn_1." in new:
            new = replace_all(new, [("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"),
                                    ("to_out.0", "proj_out")])
            if tensor.dim() == 2:
                tensor = tensor[:, :, None, None]
        out["first_stage_model." + new] = tensor
    return out


def original_open_clip(model, prefix):
    state, out = model.state_dict(), {}
    for name, tensor in state.items():
        if re.search(r"self_attn\.[kv]_proj", name):
            continue
        if "self_attn.q_proj" in name:
            parts = [state[name.replace("q_proj", p)] for p in ("q_proj", "k_proj", "v_proj")]
            name, tensor = re.sub(r"self_attn\.q_proj\.", "attn.in_proj_", name), torch.cat(parts)
        if name == "text_projection.weight":
            out[prefix + "text_projection"] = tensor.T
            continue
        name = name.removeprefix("text_model.")
        out[prefix + replace_all(name, [
            ("final_layer_norm", "ln_final"), ("encoder.layers.", "transformer.resblocks."), ("layer_norm", "ln_"), ("mlp.fc1", "mlp.c_fc"),
            ("mlp.fc2", "mlp.c_proj"), ("self_attn", "attn"), ("embeddings.token_embedding", "token_embedding"),
            ("embeddings.position_embedding.weight", "positional_embedding")])] = tensor
    return out


def original_text(model, prefix):
    if ".transformer." in prefix:
        return {prefix + "text_model." + name.removeprefix("text_model."): tensor
                for name, tensor in model.state_dict().items() if not name.endswith("position_ids")}
    out = original_open_clip(model, prefix)
    if prefix == H:  # the layer that never runs
        last = model.config.num_hidden_layers
        out |= {name.replace(f".{last - 1}.", f".{last}."): tensor for name, tensor in out.items()
                if f"resblocks.{last - 1}." in name}
    return out


def shapes(state):
    return {name: list(tensor.shape) for name, tensor in state.items() if not name.endswith("position_ids")}


def check(component, model, stored, prefix):
    """diffusers' own conversion gives the model back."""
    stored = dict(stored)
    if component == "unet":
        back = theirs.convert_ldm_unet_checkpoint(stored, dict(model.config))
    elif component == "vae":
        back = theirs.convert_ldm_vae_checkpoint(stored, dict(model.config))
    elif ".transformer." in prefix:
        back = theirs.convert_ldm_clip_checkpoint(stored)
    else:
        back = theirs.convert_open_clip_checkpoint(model, stored, prefix)
    expected = shapes(model.state_dict())
    if component.startswith("text"):
        back = {k.removeprefix("text_model."): v for k, v in back.items()}
        expected = {k.removeprefix("text_model."): v for k, v in expected.items()}
    assert shapes(back) == expected, (component, set(shapes(back)) ^ set(expected))


def digest(state):
    value = 0xCBF29CE484222325
    for line in sorted(f"{name} {shape}\n" for name, shape in shapes(state).items()):
        for byte in line.encode():
            value = (value ^ byte) * 0x100000001B3 % 2**64
    return {"count": len(state), "digest": f"{value:016x}"}


def build(component, entry):
    if component == "unet":
        model = UNet2DConditionModel(**entry)
        return model, original_unet(model, "num_class_embeds" in entry), entry, ""
    if component == "vae":
        model = AutoencoderKL(**entry)
        return model, original_vae(model), entry | {"_class_name": "AutoencoderKL"}, ""
    config, prefix = entry
    projects = component == "text_encoder_2"
    kind = CLIPTextModelWithProjection if projects else CLIPTextModel
    model = kind(CLIPTextConfig(**config))
    return model, original_text(model, prefix), config | {"architectures": [kind.__name__]}, prefix


def main():
    out = {}
    for kind, components in KINDS.items():
        out[kind] = {"configs": {}, "stored": {}}
        for component, entry in components.items():
            with torch.device("meta"):
                model, stored, config, prefix = build(component, entry)
                check(component, model, stored, prefix)
            out[kind]["configs"][component] = config
            out[kind]["stored"][component] = digest(stored)
            print(kind, component, out[kind]["stored"][component])
    path = Path(sys.argv[1]) / "tests/parity/checkpoints.json"
    path.write_text(json.dumps(out, indent=1) + "\n")


main()
