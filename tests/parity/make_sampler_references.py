"""Writes tests/parity/samplers.safetensors: whole runs of diffusers' schedulers.

    python tests/parity/make_sampler_references.py REPOSITORY

The network is the exact denoiser of independent normal pixels, so that numbers stay realistic. Each case
has CASE/sample, CASE/model_output and CASE/prev_sample (stacked over steps), CASE/timesteps, where there
are some CASE/sigmas and CASE/noise (stacked), and its configuration as JSON in the file's metadata.
"""
import inspect
import json
import sys
from pathlib import Path

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler
from safetensors.torch import save_file

CLASSES = {"ddim": DDIMScheduler, "euler": EulerDiscreteScheduler, "dpmpp_2m": DPMSolverMultistepScheduler}
SCALED = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False}
COSINE = {"beta_schedule": "squaredcos_cap_v2", "clip_sample": False}
ZERO = SCALED | {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
CONFIGS = {
    "leading": SCALED | {"timestep_spacing": "leading", "steps_offset": 1, "set_alpha_to_one": False},
    "plain": SCALED,
    "linspace": {"timestep_spacing": "linspace", "clip_sample": False},
    "zero_snr": ZERO,
    "zero_snr_leading": ZERO | {"timestep_spacing": "leading"},
    "cosine": COSINE | {"prediction_type": "v_prediction", "timestep_spacing": "trailing", "num_train_timesteps": 400},
    "sample": SCALED | {"prediction_type": "sample", "timestep_spacing": "trailing"},
}
SIGMAS = {
    "karras": SCALED | {"use_karras_sigmas": True},
    "karras_leading": SCALED | {"use_karras_sigmas": True, "timestep_spacing": "leading", "steps_offset": 1},
    "karras_zero_snr": ZERO | {"use_karras_sigmas": True},
    "sigma_min": SCALED | {"final_sigmas_type": "sigma_min", "prediction_type": "v_prediction"},
}
DDIM = {
    "clip": SCALED | {"clip_sample": True, "clip_sample_range": 0.5, "prediction_type": "v_prediction"},
    "eta": SCALED | {"eta": 0.6, "timestep_spacing": "trailing"},
    "eta_zero_snr": ZERO | {"eta": 0.3},
}
SHAPE = (1, 1, 2, 3)
MEAN, SPREAD = 0.3, 0.7


def output(prediction, x, alpha, sigma):
    """What a network of that kind says of x where pixels are N(MEAN, SPREAD^2)."""
    gain = alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2)
    x0 = MEAN + gain * (x - alpha * MEAN)
    noise = (x - alpha * x0) / sigma
    return {"epsilon": noise, "sample": x0, "v_prediction": alpha * noise - sigma * x0}[prediction]


def make(sampler, config, steps):
    kind = CLASSES[sampler]
    known = inspect.signature(kind.__init__).parameters
    scheduler = kind(**{key: value for key, value in config.items() if key in known})
    scheduler.set_timesteps(steps)
    x = torch.randn(SHAPE) * scheduler.init_noise_sigma
    out = {"sample": x.clone(), "timesteps": scheduler.timesteps.clone()}
    runs = {"model_output": [], "noise": [], "prev_sample": []}
    if hasattr(scheduler, "sigmas"):
        out["sigmas"] = scheduler.sigmas.clone()
    for i, t in enumerate(scheduler.timesteps):
        seen = scheduler.scale_model_input(x, t)
        if sampler == "ddim":
            alpha = scheduler.alphas_cumprod[t] ** 0.5
            sigma = (1 - scheduler.alphas_cumprod[t]) ** 0.5
        else:
            alpha = 1 / (scheduler.sigmas[i] ** 2 + 1) ** 0.5
            sigma = scheduler.sigmas[i] * alpha
        said = output(config.get("prediction_type", "epsilon"), seen, alpha, sigma)
        runs["model_output"].append(said)
        more = {}
        if config.get("eta"):
            runs["noise"].append(torch.randn(SHAPE))
            more = {"eta": config["eta"], "variance_noise": runs["noise"][-1]}
        x = scheduler.step(said, t, x, **more).prev_sample
        runs["prev_sample"].append(x)
    return out | {key: torch.stack(values) for key, values in runs.items() if values}


def main():
    torch.manual_seed(0)
    tensors, metadata = {}, {}
    for sampler in CLASSES:
        configs = CONFIGS | (DDIM if sampler == "ddim" else SIGMAS)
        for name, config in configs.items():
            for steps in (1, 2, 7, 10, 20):
                if name == "karras_zero_snr" and sampler == "euler" and steps == 1:
                    continue  # one Karras point of a single timestep
                case = f"{sampler}/{name}/{steps}"
                metadata[case] = json.dumps(config | {"sampler": sampler, "steps": steps})
                for key, value in make(sampler, config, steps).items():
                    tensors[f"{case}/{key}"] = value.contiguous()
    path = Path(sys.argv[1]) / "tests/parity/samplers.safetensors"
    save_file(tensors, path, metadata)
    path.chmod(0o644)


main()
