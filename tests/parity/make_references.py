"""Makes the committed references that weft's networks are checked against.

    python tests/parity/make_references.py [OUT_FOLDER]

Needs torch, diffusers, transformers and safetensors. Each file holds one small network of diffusers or
transformers with random weights (rounded to f16, so that they are stored exactly in half the bytes) and a
few runs of it in f32:

    model.NAME          the weights as the library names them
    run.N.in.ARGUMENT   inputs under the library's argument names (residuals: NAME.I)
    run.N.out.NAME      outputs
    metadata["config"]  the config.json
"""

import json
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "references"


BRANCH_ENDS = ("conv2", "proj_out", "to_out.0", "ff.net.2")


def branch_size(name):
    """What a parameter's values are multiplied by: half where a residual branch ends. At full size rounding to bf16
    alone takes some of these networks further than 2e-2 from f32 in diffusers itself; trained ones are calmer, too."""
    return 0.5 if name.rpartition(".")[0].endswith(BRANCH_ENDS) else 1.0


def randomise(model, seed):
    """Every parameter random, none left at 0 or 1, and exact in f16."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() > 1 and "embedding.weight" not in name:
            value = noise / parameter[0].numel() ** 0.5
        else:
            value = 0.1 * noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
        parameter.data = (branch_size(name) * value).half().float()
    return model.eval()


def save(name, model, config, runs, rename=lambda key: key):
    tensors = {f"model.{rename(k)}": v.half() for k, v in model.named_parameters()}
    for i, (inputs, outputs) in enumerate(runs):
        tensors |= {f"run.{i}.in.{k}": v for k, v in inputs.items()}
        tensors |= {f"run.{i}.out.{k}": v for k, v in outputs.items()}
    path = OUT / f"{name}.safetensors"
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, {"config": json.dumps(config)})
    print(f"{path.name}: {path.stat().st_size} bytes")


def config_of(model):
    hidden = {"_diffusers_version", "_name_or_path"}
    config = {k: v for k, v in dict(model.config).items() if k not in hidden}
    return {"_class_name": type(model).__name__} | config


# UNets


def unet_call(model, inputs):
    def listed(prefix):
        keys = [k for k in inputs if k.startswith(prefix + ".")]
        return tuple(inputs[f"{prefix}.{i}"] for i in range(len(keys))) or None

    added = {k: inputs[k] for k in ("text_embeds", "time_ids") if k in inputs} or None
    with torch.no_grad():
        out = model(
            inputs["sample"],
            inputs["timestep"],
            inputs["encoder_hidden_states"],
            class_labels=inputs.get("class_labels"),
            timestep_cond=inputs.get("timestep_cond"),
            added_cond_kwargs=added,
            down_block_additional_residuals=listed("down_block_additional_residuals"),
            mid_block_additional_residual=inputs.get("mid_block_additional_residual"),
        ).sample
    return {"sample": out}


def unet(name, seed, sizes, extra=lambda n, h, w: {}, tokens=5, **config):
    base = dict(in_channels=4, out_channels=4, norm_num_groups=4, sample_size=16)
    model = randomise(UNet2DConditionModel(**(base | config)), seed)
    torch.manual_seed(seed)
    runs = []
    for n, h, w in sizes:
        width = model.config.cross_attention_dim
        width = width if isinstance(width, int) else width[0]
        inputs = {
            "sample": torch.randn(n, model.config.in_channels, h, w),
            "timestep": torch.linspace(7, 981, n) if n > 1 else torch.tensor(500.0),
            "encoder_hidden_states": torch.randn(n, tokens, width),
        } | extra(n, h, w)
        runs.append((inputs, unet_call(model, inputs)))
    save("unet_" + name, model, config_of(model), runs)


CROSS, PLAIN = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D"), ("DownBlock2D", "UpBlock2D")


def levels(*kinds):
    return dict(
        down_block_types=[k[0] for k in kinds], up_block_types=[k[1] for k in reversed(kinds)]
    )


def unets():
    two = levels(CROSS, PLAIN) | dict(layers_per_block=1, cross_attention_dim=12)
    unet("sd1", 1, [(2, 16, 16), (1, 13, 11)], attention_head_dim=2, cross_attention_dim=12,
         block_out_channels=[8, 8, 8, 8], layers_per_block=1, **levels(CROSS, CROSS, CROSS, PLAIN))
    unet("sd2", 2, [(2, 8, 8)], attention_head_dim=[2, 4], block_out_channels=[8, 16],
         use_linear_projection=True, upcast_attention=True, **two)
    unet("sdxl", 3, [(2, 8, 12)], attention_head_dim=[1, 2, 4], block_out_channels=[8, 8, 8],
         layers_per_block=1, cross_attention_dim=12, transformer_layers_per_block=[1, 1, 2],
         use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=4,
         projection_class_embeddings_input_dim=6 + 6 * 4,
         extra=lambda n, h, w: {"text_embeds": torch.randn(n, 6),
                                "time_ids": torch.tensor([[64.0, 96, 0, 8, 64, 96]] * n)},
         **levels(PLAIN, CROSS, CROSS))
    unet("ip2p", 4, [(3, 8, 8)], in_channels=8, attention_head_dim=2, block_out_channels=[4, 8], **two)
    unet("inpaint", 5, [(1, 8, 8)], in_channels=9, attention_head_dim=1, block_out_channels=[4, 4], **two)
    unet("odd", 6, [(1, 9, 7), (1, 5, 14), (2, 1, 3)], attention_head_dim=2, layers_per_block=1,
         block_out_channels=[8, 8, 8], cross_attention_dim=12, **levels(CROSS, PLAIN, PLAIN))
    unet("starter", 7, [(2, 8, 12)], in_channels=32, out_channels=16, attention_head_dim=[1, 2, 4],
         block_out_channels=[8, 8, 12], layers_per_block=1, cross_attention_dim=12,
         resnet_time_scale_shift="scale_shift", addition_embed_type="text",
         addition_embed_type_num_heads=3, **levels(PLAIN, CROSS, CROSS))
    unet("residuals", 8, [(2, 8, 8)], attention_head_dim=2, block_out_channels=[8, 8],
         extra=lambda n, h, w: {f"down_block_additional_residuals.{i}": torch.randn(n, 8, h // s, w // s)
                                for i, s in enumerate([1, 1, 2, 2])}
         | {"mid_block_additional_residual": torch.randn(n, 8, h // 2, w // 2)}, **two)
    unet("labels", 9, [(2, 8, 8)], attention_head_dim=2, block_out_channels=[8, 8], num_class_embeds=5,
         time_cond_proj_dim=6, resnet_time_scale_shift="scale_shift", center_input_sample=True,
         flip_sin_to_cos=False, freq_shift=1, act_fn="gelu", mid_block_type=None,
         extra=lambda n, h, w: {"class_labels": torch.tensor([1, 4]), "timestep_cond": torch.randn(n, 6)},
         **two)
    unet("projection", 10, [(2, 8, 8)], attention_head_dim=2, block_out_channels=[8, 8],
         class_embed_type="projection", projection_class_embeddings_input_dim=7,
         only_cross_attention=True, mid_block_type="UNetMidBlock2D", conv_in_kernel=1, conv_out_kernel=5,
         extra=lambda n, h, w: {"class_labels": torch.randn(n, 7)}, **two)


# Autoencoders


def kl_runs(model, seed, sizes):
    torch.manual_seed(seed)
    runs = []
    for n, h, w in sizes:
        image = torch.rand(n, 3, h, w) * 2 - 1
        with torch.no_grad():
            moments = model.encode(image).latent_dist
            latent = torch.randn(moments.mean.shape)
            decoded = model.decode(latent).sample
        runs.append(({"image": image}, {"mean": moments.mean, "logvar": moments.logvar}))
        runs.append(({"latent": latent}, {"image": decoded}))
    return runs


def old_names(key):
    for new, old in [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")]:
        key = key.replace(f"attentions.0.{new}", f"attentions.0.{old}")
    return key


def autoencoders():
    base = dict(norm_num_groups=4, layers_per_block=1, latent_channels=4, sample_size=32)

    def kinds(n):
        return dict(down_block_types=["DownEncoderBlock2D"] * n, up_block_types=["UpDecoderBlock2D"] * n)

    model = randomise(AutoencoderKL(**base, block_out_channels=[8, 8, 16], **kinds(3)), 20)
    save("kl", model, config_of(model), kl_runs(model, 20, [(1, 16, 24)]))
    model = randomise(AutoencoderKL(**base, block_out_channels=[8, 8], **kinds(2)), 21)
    save("kl_old_names", model, config_of(model), kl_runs(model, 21, [(2, 8, 8)]), old_names)
    bare = dict(use_quant_conv=False, use_post_quant_conv=False, mid_block_add_attention=False,
                scaling_factor=0.3611, shift_factor=0.1159, latent_channels=16)
    model = randomise(AutoencoderKL(**(base | bare), block_out_channels=[8, 8], **kinds(2)), 22)
    save("kl_bare", model, config_of(model), kl_runs(model, 22, [(1, 8, 8)]))

    model = AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
                            num_encoder_blocks=(1, 2, 1, 1), num_decoder_blocks=(1, 1, 2, 1))
    model = randomise(model, 23)
    image, latent = torch.rand(1, 3, 16, 24) * 2 - 1, 2 * torch.randn(1, 4, 2, 3)
    with torch.no_grad():
        runs = [({"image": image}, {"mean": model.encode(image).latents}),
                ({"latent": latent}, {"image": model.decode(latent).sample})]
    save("tiny", model, config_of(model), runs)


# CLIP text encoders


def clip(name, seed, ids, prefix="", projects=False, **config):
    base = dict(vocab_size=60, hidden_size=16, intermediate_size=24, num_hidden_layers=3,
                num_attention_heads=2, max_position_embeddings=9, projection_dim=6, pad_token_id=1,
                bos_token_id=58)
    settings = CLIPTextConfig(**(base | config))
    kind = CLIPTextModelWithProjection if projects else CLIPTextModel
    model = randomise(kind(settings), seed)
    with torch.no_grad():
        out = model(ids, output_hidden_states=True)
    outputs = {
        "last_hidden_state": out.last_hidden_state,
        "penultimate_hidden_state": out.hidden_states[-2],
        "pooled": out.text_embeds if projects else out.pooler_output,
    }
    written = settings.to_dict() | {"architectures": [kind.__name__]}
    written = {k: v for k, v in written.items() if not k.startswith("_") and k != "dtype"}

    def named(key):
        bare = key.removeprefix("text_model.")
        return bare if bare.startswith("text_projection") else prefix + bare

    save("clip_" + name, model, written, [({"input_ids": ids}, outputs)], named)


def clips():
    first = torch.tensor([[58, 3, 7, 59, 1, 1, 1, 1, 1], [58, 9, 59, 59, 59, 59, 59, 59, 59]])
    clip("quick_gelu", 30, first, "text_model.", hidden_act="quick_gelu", eos_token_id=2)
    # The end token is not the largest id here, so that only its first position is right.
    second = torch.tensor([[58, 3, 59, 41, 5, 41, 1], [58, 59, 8, 9, 41, 2, 2]])
    clip("projection", 31, second, "text_model.", True, hidden_act="gelu", eos_token_id=41)
    clip("bare_names", 32, first[:, :6], "", hidden_act="gelu", eos_token_id=59)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    unets()
    autoencoders()
    clips()
    print(f"{sum(f.stat().st_size for f in OUT.glob('*.safetensors'))} bytes in all")
