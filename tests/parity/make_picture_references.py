"""Writes tests/parity/pictures.safetensors: what diffusers' StableDiffusionPipeline draws with the tiny model
tests/parity/models/sd, one picture a scheduler, from torch.Generator('cpu').manual_seed(SEED).

    python tests/parity/make_picture_references.py REPOSITORY

Each is SAMPLER [h, w, 3] u8; the options they share are JSON in the file's metadata. DPMSolverSDEScheduler
draws its noise through torchsde and dpmpp_2s_a and dpmpp_3m_sde have no scheduler: they are not here.
"""
import json
import sys
from pathlib import Path

import torch
from diffusers import (DDIMScheduler, DDPMScheduler, DEISMultistepScheduler, DPMSolverMultistepScheduler,
                       EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler,
                       KDPM2AncestralDiscreteScheduler, KDPM2DiscreteScheduler, LCMScheduler, LMSDiscreteScheduler,
                       PNDMScheduler, StableDiffusionPipeline, TCDScheduler, UniPCMultistepScheduler)
from safetensors.torch import save_file

OPTIONS = {"prompt": "a Red ball's café, 42", "negative": "winter snow", "steps": 4, "guidance": 9.0, "seed": 7,
           "size": "48x32"}
SCHEDULERS = {
    "ddpm": DDPMScheduler, "ddim": DDIMScheduler, "pndm": PNDMScheduler, "euler": EulerDiscreteScheduler,
    "euler_a": EulerAncestralDiscreteScheduler, "heun": HeunDiscreteScheduler, "lms": LMSDiscreteScheduler,
    "dpm2": KDPM2DiscreteScheduler, "dpm2_a": KDPM2AncestralDiscreteScheduler,
    "dpmpp_2m": DPMSolverMultistepScheduler, "dpmpp_2m_sde": DPMSolverMultistepScheduler,
    "unipc": UniPCMultistepScheduler, "deis": DEISMultistepScheduler, "lcm": LCMScheduler, "tcd": TCDScheduler,
}


def draw(folder, sampler):
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, torch_dtype=torch.float32)
    more = {"algorithm_type": "sde-dpmsolver++"} if sampler == "dpmpp_2m_sde" else {}
    pipe.scheduler = SCHEDULERS[sampler].from_config(pipe.scheduler.config, **more)
    pipe.set_progress_bar_config(disable=True)
    width, height = map(int, OPTIONS["size"].split("x"))
    image = pipe(OPTIONS["prompt"], negative_prompt=OPTIONS["negative"], num_inference_steps=OPTIONS["steps"],
                 guidance_scale=OPTIONS["guidance"], height=height, width=width, output_type="np",
                 eta=0.3 if sampler == "tcd" else 0.0,  # the pipeline's own default silences TCDScheduler's
                 generator=torch.Generator("cpu").manual_seed(OPTIONS["seed"])).images[0]
    return (torch.from_numpy(image) * 255).round().to(torch.uint8)


def main():
    parity = Path(sys.argv[1]) / "tests/parity"
    pictures = {sampler: draw(parity / "models/sd", sampler).contiguous() for sampler in SCHEDULERS}
    path = parity / "pictures.safetensors"
    save_file(pictures, path, {"options": json.dumps(OPTIONS)})
    path.chmod(0o644)
    for name, picture in pictures.items():
        values = picture.float()
        print(f"{name}: mean {values.mean():.1f}, deviation {values.std():.1f}")


main()
