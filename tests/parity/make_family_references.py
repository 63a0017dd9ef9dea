"""Writes tests/parity/families: a tiny model with random weights of each family that weft runs, and
tests/parity/families.safetensors: what diffusers' pipelines make with them.

    python tests/parity/make_family_references.py REPOSITORY

families/NAME holds only what differs from its base (another family, or tests/parity/models/sd), which
"base" in the case's metadata names; a whole model is the base with NAME's files over it. Each case has
CASE/latents (unit noise), CASE/result (the latents at the end) and, where the pipeline takes them,
CASE/image, CASE/mask_image in [0, 1], CASE/depth_map, CASE/image_noise; its options are JSON in the
file's metadata.
"""
import json
import shutil
import sys
import tempfile
from pathlib import Path

import diffusers
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler, UNet2DConditionModel
from make_references import branch_size
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

SAMPLERS = {"ddim": DDIMScheduler, "euler": EulerDiscreteScheduler}
PROMPT, NEGATIVE = "a Red ball's café, 42", "winter snow"
SCALED = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False,
              steps_offset=1)
CROSS, PLAIN = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D"), ("DownBlock2D", "UpBlock2D")
SD_WIDTH, XL_WIDTHS, POOLED = 16, (8, 12), 10


def randomise(model, seed):
    """Random weights, exact in f16, that leave nothing at 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() > 1 and "embedding.weight" not in name:
            value = 0.7 * noise / parameter[0].numel() ** 0.5
        else:
            value = 0.1 * noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
        parameter.data = (branch_size(name) * value).half().float()
    return model.eval()


def unet(seed, in_channels, **config):
    base = dict(sample_size=16, in_channels=in_channels, out_channels=4, block_out_channels=(4, 8),
                layers_per_block=1, down_block_types=(CROSS[0], PLAIN[0]), up_block_types=(PLAIN[1], CROSS[1]),
                cross_attention_dim=SD_WIDTH, attention_head_dim=2, norm_num_groups=2)
    return randomise(UNet2DConditionModel(**(base | config)), seed)


def xl_unet(seed, in_channels, width=sum(XL_WIDTHS), pooled=POOLED, numbers=6):
    return unet(seed, in_channels, cross_attention_dim=width, use_linear_projection=True,
                attention_head_dim=(1, 2), transformer_layers_per_block=(1, 2),
                down_block_types=(PLAIN[0], CROSS[0]), up_block_types=(CROSS[1], PLAIN[1]),
                addition_embed_type="text_time", addition_time_embed_dim=4,
                projection_class_embeddings_input_dim=pooled + 4 * numbers)


def text_encoder(seed, width, projects, tokens):
    config = CLIPTextConfig(
        vocab_size=tokens, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=77, projection_dim=width if projects is None else projects,
        hidden_act="gelu" if projects else "quick_gelu",
        bos_token_id=tokens - 2, eos_token_id=tokens - 1, pad_token_id=tokens - 1)
    kind = CLIPTextModelWithProjection if projects else CLIPTextModel
    return randomise(kind(config), seed)


def vae(seed, levels):
    return randomise(AutoencoderKL(
        block_out_channels=(4,) * levels, down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels, latent_channels=4, norm_num_groups=2,
        scaling_factor=0.13025), seed)


class Family:
    """One folder under families/ and the whole model it makes over its base."""

    def __init__(self, parity, name, base, pipeline, components, index=None):
        self.name, self.base = name, base.name if isinstance(base, Family) else base
        below = base.whole if isinstance(base, Family) else parity / "models" / base
        own = parity / "families" / name
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(parents=True)
        for component, module in components.items():
            if isinstance(module, Path):
                shutil.copytree(module, own / component)
            elif hasattr(module, "half"):
                module.half().save_pretrained(own / component)
            else:
                module.save_pretrained(own / component)
        entries = json.loads((below / "model_index.json").read_text())
        entries |= {"_class_name": pipeline} | (index or {})
        (own / "model_index.json").write_text(json.dumps(entries, indent=2) + "\n")
        self.whole = Path(tempfile.mkdtemp()) / name
        shutil.copytree(below, self.whole)
        shutil.copytree(own, self.whole, dirs_exist_ok=True)
        for component, entry in entries.items():  # what the family leaves out
            if isinstance(entry, list) and entry[0] is None:
                shutil.rmtree(self.whole / component, ignore_errors=True)
        self.pipeline = getattr(diffusers, pipeline)

    def load(self, sampler):
        absent = {"depth_estimator": None, "feature_extractor": None} if "depth" in self.name else {}
        pipe = self.pipeline.from_pretrained(self.whole, torch_dtype=torch.float32, **absent)
        pipe.scheduler = SAMPLERS[sampler].from_config(pipe.scheduler.config)
        pipe.set_progress_bar_config(disable=True)
        if hasattr(pipe, "watermark"):
            pipe.watermark = None
        return pipe


def entry(library, name):
    return [library, name]


def families(parity):
    tokens = len(json.loads((parity / "models/sd/tokenizer/vocab.json").read_text()))
    tokenizer = parity / "models/sd/tokenizer"
    v_prediction = DDIMScheduler(**SCALED, prediction_type="v_prediction")
    yield Family(parity, "sd2", "sd", "StableDiffusionPipeline",
                 {"unet": unet(1, 4, use_linear_projection=True, attention_head_dim=(1, 2)),
                  "scheduler": v_prediction})
    yield Family(parity, "sd1-inpaint", "sd", "StableDiffusionInpaintPipeline", {"unet": unet(2, 9)})
    yield Family(parity, "sd2-depth", "sd", "StableDiffusionDepth2ImgPipeline",
                 {"unet": unet(3, 5, use_linear_projection=True)},
                 {"depth_estimator": [None, None], "feature_extractor": [None, None]})
    yield Family(parity, "lcm", "sd", "StableDiffusionPipeline", {"unet": unet(4, 4, time_cond_proj_dim=6)})
    yield Family(parity, "upscaler", "sd", "StableDiffusionUpscalePipeline",
                 {"unet": unet(5, 7, num_class_embeds=350, only_cross_attention=True,
                               use_linear_projection=True), "vae": vae(6, 3),
                  "low_res_scheduler": DDPMScheduler(**SCALED)},
                 {"low_res_scheduler": entry("diffusers", "DDPMScheduler"), "watermarker": [None, None],
                  "max_noise_level": 350})
    sdxl = Family(parity, "sdxl", "sd", "StableDiffusionXLPipeline",
                  {"unet": xl_unet(7, 4), "vae": vae(8, 2), "tokenizer_2": tokenizer,
                   "text_encoder": text_encoder(9, XL_WIDTHS[0], None, tokens),
                   "text_encoder_2": text_encoder(10, XL_WIDTHS[1], POOLED, tokens)},
                  {"text_encoder_2": entry("transformers", "CLIPTextModelWithProjection"),
                   "tokenizer_2": entry("transformers", "CLIPTokenizer"),
                   "force_zeros_for_empty_prompt": True})
    yield sdxl
    pooled = XL_WIDTHS[1]
    yield Family(parity, "sdxl-refiner", sdxl, "StableDiffusionXLImg2ImgPipeline",
                 {"unet": xl_unet(11, 4, pooled, pooled, 5),
                  "text_encoder_2": text_encoder(12, pooled, pooled, tokens)},
                 {"text_encoder": [None, None], "tokenizer": [None, None],
                  "force_zeros_for_empty_prompt": False, "requires_aesthetics_score": True})
    yield Family(parity, "sdxl-inpaint", sdxl, "StableDiffusionXLInpaintPipeline", {"unet": xl_unet(13, 9)})
    yield Family(parity, "sdxl-instruct", sdxl, "StableDiffusionXLInstructPix2PixPipeline",
                 {"unet": xl_unet(14, 8)})


def cases():
    for sampler in SAMPLERS:
        plain = {"sampler": sampler, "steps": 4, "guidance": 4.0}
        yield plain | {"model": "sd2"}
        yield plain | {"model": "sdxl"}
        yield plain | {"model": "sdxl", "empty_negative": True}
        yield plain | {"model": "sdxl-instruct", "image_guidance": 1.5}
        yield plain | {"model": "sdxl-refiner", "strength": 0.5}
        yield plain | {"model": "sd1-inpaint", "strength": 1.0}
        yield plain | {"model": "sd1-inpaint", "strength": 0.5}
        yield plain | {"model": "sdxl-inpaint", "strength": 0.75}
        yield plain | {"model": "sd2-depth", "strength": 0.75}
        yield plain | {"model": "lcm", "guidance": 8.0}
        yield plain | {"model": "upscaler", "noise_level": 40}


def patched(pipe, noises):
    """Every draw of the pipeline's module takes the next given noise; encoders give their mean."""
    module = sys.modules[type(pipe).__module__]
    queue = iter(noises)
    module.randn_tensor = lambda *arguments, **more: next(queue).clone()
    if hasattr(module, "retrieve_latents"):
        module.retrieve_latents = lambda moments, **more: moments.latent_dist.mode()


def inputs_of(case, factor):
    """What the pipeline is given besides the prompt, by weft's names."""
    height, width = 16, 24
    noise = torch.randn(1, 4, height // factor, width // factor)
    given = {"latents": noise}
    if case["model"] == "upscaler":
        small = torch.rand(1, 3, 8, 12)
        return {"latents": torch.randn(1, 4, 8, 12), "image": small, "image_noise": torch.randn(small.shape)}
    if "strength" in case or "image_guidance" in case:
        given["image"] = torch.rand(1, 3, height, width)
    if "inpaint" in case["model"]:
        mask = torch.zeros(1, 1, height, width)
        mask[:, :, 3:11, 5:18] = 1
        given["mask_image"] = mask
    if "depth" in case["model"]:
        given["depth_map"] = torch.rand(1, height, width)
    return given


def run(family, case, given):
    pipe = family.load(case["sampler"])
    arguments = {"prompt": PROMPT, "negative_prompt": None if case.get("empty_negative") else NEGATIVE,
                 "num_inference_steps": case["steps"], "guidance_scale": case["guidance"],
                 "output_type": "latent"}
    name = case["model"]
    for key in ("image", "mask_image", "depth_map"):
        if key in given:
            arguments[key] = given[key]
    for theirs, ours in (("strength", "strength"), ("image_guidance_scale", "image_guidance"),
                         ("noise_level", "noise_level")):
        if ours in case:
            arguments[theirs] = case[ours]
    noise = given["latents"]
    if name == "upscaler":
        patched(pipe, [given["image_noise"], noise])
    elif "strength" in case:
        patched(pipe, [noise] * 4)
    else:
        patched(pipe, [])
        arguments["latents"] = noise.clone()
    if "image" not in given or "inpaint" in name or name == "sdxl-instruct":
        arguments |= {"height": 16, "width": 24}
    if name.startswith("sdxl") and "instruct" not in name:
        arguments |= {"original_size": (16, 24), "target_size": (16, 24)}
    return pipe(**arguments).images


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    diffusers.logging.set_verbosity_error()
    parity = Path(sys.argv[1]) / "tests/parity"
    known = {family.name: family for family in families(parity)}
    tensors, metadata = {}, {}
    for number, case in enumerate(cases()):
        family = known[case["model"]]
        given = inputs_of(case, 2)
        with torch.no_grad():
            result = run(family, case, given)
        print(number, case, tuple(result.shape), float(result.abs().max()))
        tensors |= {f"{number}/{key}": value for key, value in given.items()}
        tensors[f"{number}/result"] = result.contiguous()
        texts = {"prompt": PROMPT, "negative": "" if case.get("empty_negative") else NEGATIVE}
        bases = {name: member.base for name, member in known.items()}
        layers, name = [], case["model"]
        while name in bases:
            layers, name = [f"families/{name}"] + layers, bases[name]
        metadata[str(number)] = json.dumps(case | texts | {"layers": [f"models/{name}"] + layers})
    save_file(tensors, parity / "families.safetensors", metadata)
    for file in [parity / "families.safetensors", *(parity / "families").rglob("*.safetensors")]:
        file.chmod(0o644)


main()
