"""Writes tests/parity/models/{sd,instruct}: whole tiny models with random weights as diffusers saves them,
and tests/parity/pipelines.safetensors: what diffusers' pipelines make with them.

    python tests/parity/make_pipeline_references.py REPOSITORY

Each case has CASE/latents (unit noise), where there is one CASE/image in [0, 1], and CASE/result, the
latents at the end; its options are JSON in the file's metadata.
"""
import json
import shutil
import sys
from pathlib import Path

import diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img as img2img
import torch
from diffusers import (AutoencoderKL, DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler,
                       StableDiffusionImg2ImgPipeline, StableDiffusionInstructPix2PixPipeline,
                       StableDiffusionPipeline, UNet2DConditionModel)
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

SAMPLERS = {"ddim": DDIMScheduler, "euler": EulerDiscreteScheduler, "dpmpp_2m": DPMSolverMultistepScheduler}
SCALED = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False,
          "steps_offset": 1}
ZERO = SCALED | {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
PROMPT, NEGATIVE = "a Red ball's café, 42", "winter snow"


def make_model(folder, tokenizer_files, in_channels, scheduler, pipeline):
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tokenizer").mkdir(parents=True)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(tokenizer_files / name, folder / "tokenizer")
    shutil.copy(tokenizer_files / "special_plain.json", folder / "tokenizer" / "tokenizer_config.json")
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    size = len(tokenizer)
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=size, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=77, bos_token_id=size - 2, eos_token_id=size - 1, pad_token_id=size - 1))
    unet = UNet2DConditionModel(
        sample_size=16, in_channels=in_channels, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16, attention_head_dim=2, norm_num_groups=4)
    vae = AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4, scaling_factor=0.4)
    for parameter in unet.parameters():
        parameter.data += torch.randn_like(parameter) * 0.02
    whole = pipeline(vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=scheduler,
                     safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    whole.to(torch.float16).save_pretrained(folder)
    (folder / "tokenizer" / "tokenizer.json").unlink()


def load(pipeline, folder, sampler):
    pipe = pipeline.from_pretrained(folder, safety_checker=None, torch_dtype=torch.float32)
    pipe.scheduler = SAMPLERS[sampler].from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def options(case):
    return {"prompt": PROMPT, "negative_prompt": NEGATIVE, "num_inference_steps": case["steps"],
            "guidance_scale": case["guidance"], "output_type": "latent"}


def text_to_picture(folder, case, noise):
    pipe = load(StableDiffusionPipeline, folder, case["sampler"])
    height, width = (2 * size for size in noise.shape[2:])
    return pipe(latents=noise.clone(), height=height, width=width, **options(case)).images


def picture_to_picture(folder, case, noise, image):
    pipe = load(StableDiffusionImg2ImgPipeline, folder, case["sampler"])
    img2img.randn_tensor = lambda *arguments, **more: noise.clone()
    img2img.retrieve_latents = lambda moments, **more: moments.latent_dist.mode()
    return pipe(image=image, strength=case["strength"], **options(case)).images


def instruct(folder, case, noise, image):
    pipe = load(StableDiffusionInstructPix2PixPipeline, folder, case["sampler"])
    return pipe(image=image, latents=noise.clone(), image_guidance_scale=case["image_guidance"],
                **options(case)).images


def cases():
    for sampler in SAMPLERS:
        yield {"model": "sd", "sampler": sampler, "steps": 5, "guidance": 4.0}
        yield {"model": "sd", "sampler": sampler, "steps": 8, "guidance": 3.0, "strength": 0.6}
        yield {"model": "instruct", "sampler": sampler, "steps": 5, "guidance": 4.0, "image_guidance": 1.5}
        yield {"model": "instruct", "sampler": sampler, "steps": 3, "guidance": 3.0, "image_guidance": 1.0}


def main():
    torch.manual_seed(0)
    parity = Path(sys.argv[1]) / "tests/parity"
    models = parity / "models"
    make_model(models / "sd", parity / "tokenizer", 4, DDIMScheduler(**SCALED), StableDiffusionPipeline)
    make_model(models / "instruct", parity / "tokenizer", 8, DDIMScheduler(**ZERO),
               StableDiffusionInstructPix2PixPipeline)
    tensors, metadata = {}, {}
    for number, case in enumerate(cases()):
        folder, noise = models / case["model"], torch.randn(1, 4, 8, 12)
        image = torch.rand(1, 3, 16, 24)
        if case["model"] == "instruct":
            result = instruct(folder, case, noise, image)
        elif "strength" in case:
            result = picture_to_picture(folder, case, noise, image)
        else:
            result, image = text_to_picture(folder, case, noise), None
        tensors |= {f"{number}/latents": noise, f"{number}/result": result.contiguous()}
        if image is not None:
            tensors[f"{number}/image"] = image
        metadata[str(number)] = json.dumps(case | {"prompt": PROMPT, "negative": NEGATIVE})
    save_file(tensors, parity / "pipelines.safetensors", metadata)
    for file in [parity / "pipelines.safetensors", *models.rglob("*.safetensors")]:
        file.chmod(0o644)


main()
