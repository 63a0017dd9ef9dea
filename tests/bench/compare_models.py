#!/usr/bin/env python3
"""Times weft against diffusers (and OpenVINO where it is installed) on the same random weights.

    compare_models.py --server BENCH_MODEL --model FOLDER [--dtype f32|bf16] [--threads N] [--rounds N]
                      [--engines weft,diffusers,tuned,openvino] [--cases all|unet,vae,text,picture] [--json FILE]

Each engine is a process that keeps its model loaded. Every round runs a case once on every engine, one after
another, so that all of them see the same machine; a case's figure is the least of its rounds. `diffusers` is
the library as people run it; `tuned` has channels-last weights and glibc told to keep large blocks. FOLDER is
made where it is missing: Stable Diffusion 1.5 in full size with random weights (seeded), f16.
"""
import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

TUNED_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "8589934592", "MALLOC_TRIM_THRESHOLD_": "17179869184",
                "MALLOC_TOP_PAD_": "268435456"}
PROMPT = "a watercolor painting of a lighthouse by the sea at dusk"
UNET = dict(sample_size=64, in_channels=4, out_channels=4, layers_per_block=2, cross_attention_dim=768,
            attention_head_dim=8, block_out_channels=(320, 640, 1280, 1280),
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3)
VAE = dict(in_channels=3, out_channels=3, latent_channels=4, layers_per_block=2, sample_size=512,
           block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
           up_block_types=("UpDecoderBlock2D",) * 4, scaling_factor=0.18215)
TEXT = dict(vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
            num_attention_heads=12, max_position_embeddings=77, projection_dim=768, hidden_act="quick_gelu")
CASES = {
    "unet": ["unet 64 1", "unet 64 2", "unet 32 1", "unet 32 2"],
    "vae": ["vae-encode 512", "vae-decode 512"],
    "text": ["text 1"],
    "picture": ["picture 64 20"],
}


# The model


def fill(module, generator):
    """Random weights of a size that keeps activations finite, norms at one and zero."""
    import torch
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            with torch.no_grad():
                if "Norm" in type(part).__name__:
                    parameter.fill_(1.0 if name == "weight" else 0.0)
                elif parameter.dim() >= 2:
                    bound = parameter[0].numel() ** -0.5
                    parameter.uniform_(-bound, bound, generator=generator)
                else:
                    parameter.zero_()
    return module.eval().requires_grad_(False)


def make_model(folder, tokenizer):
    """Stable Diffusion 1.5 in the diffusers layout, random, f16; whole or not at all."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    generator = torch.Generator().manual_seed(1)
    fill(UNet2DConditionModel(**UNET), generator).half().save_pretrained(part / "unet")
    fill(AutoencoderKL(**VAE), generator).half().save_pretrained(part / "vae")
    fill(CLIPTextModel(CLIPTextConfig(**TEXT)), generator).half().save_pretrained(part / "text_encoder")
    shutil.copytree(tokenizer, part / "tokenizer")
    (part / "scheduler").mkdir()
    (part / "scheduler/scheduler_config.json").write_text(json.dumps({
        "_class_name": "DDIMScheduler", "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085,
        "clip_sample": False, "num_train_timesteps": 1000, "prediction_type": "epsilon", "set_alpha_to_one": False,
        "steps_offset": 1}))
    (part / "model_index.json").write_text(json.dumps({
        "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.37.0",
        "scheduler": ["diffusers", "DDIMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"]}))
    part.rename(folder)


# Engines: the other ends of the pipe


class Diffusers:
    def __init__(self, folder, dtype, threads, channels_last):
        import torch
        from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
        from transformers import CLIPTextModel, CLIPTokenizer
        from transformers.utils import logging
        logging.disable_progress_bar()
        torch.set_num_threads(threads)
        self.torch, self.dtype = torch, {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
        self.unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=self.dtype)
        self.vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=self.dtype)
        self.text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
        self.tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self.scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
        if channels_last:
            self.unet.to(memory_format=torch.channels_last)
            self.vae.to(memory_format=torch.channels_last)
        self.states = self.encode_text([PROMPT])

    def encode_text(self, texts):
        ids = self.tokenizer(texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
        return self.text_encoder(ids.input_ids)[0].to(self.dtype)

    def predict(self, x, t, states):
        return self.unet(x.to(self.dtype), t, encoder_hidden_states=states, return_dict=False)[0].float()

    def decode(self, latents):
        return self.vae.decode((latents / 0.18215).to(self.dtype), return_dict=False)[0].float()

    def run(self, case, numbers):
        torch = self.torch
        if case == "unet":
            side, batch = numbers
            self.predict(torch.randn(batch, 4, side, side), 500, self.states.repeat(batch, 1, 1))
        elif case == "vae-encode":
            self.vae.encode((torch.rand(1, 3, numbers[0], numbers[0]) * 2 - 1).to(self.dtype))
        elif case == "vae-decode":
            self.decode(torch.randn(1, 4, numbers[0] // 8, numbers[0] // 8))
        elif case == "text":
            self.encode_text([PROMPT] * numbers[0])
        elif case == "picture":
            self.picture(*numbers)

    def picture(self, side, steps):
        """StableDiffusionPipeline's loop: both branches of the guidance as one batch."""
        torch = self.torch
        states = torch.cat([self.encode_text([""]), self.encode_text([PROMPT])])
        self.scheduler.set_timesteps(steps)
        x = torch.randn(1, 4, side, side)
        for t in self.scheduler.timesteps:
            without, with_text = self.predict(torch.cat([x, x]), t, states).chunk(2)
            x = self.scheduler.step(without + 7.5 * (with_text - without), t, x).prev_sample
        self.decode(x)


class OpenVino:
    """The networks in OpenVINO's own format, converted once and kept beside the model."""

    def __init__(self, folder, dtype, threads):
        import openvino
        self.core = openvino.Core()
        self.settings = {"INFERENCE_PRECISION_HINT": dtype, "INFERENCE_NUM_THREADS": threads}
        self.folder = folder.with_name(folder.name + "-openvino")
        if not self.folder.is_dir():
            self.convert(folder)
        self.networks = {}

    def convert(self, folder):
        import openvino
        import torch
        from diffusers import AutoencoderKL, UNet2DConditionModel
        part = self.folder.with_name(self.folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
        vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
        encoder = torch.nn.Sequential(vae.encoder, vae.quant_conv)
        decoder = torch.nn.Sequential(vae.post_quant_conv, vae.decoder)
        for name, network, example in (
                ("unet", unet, (torch.randn(2, 4, 64, 64), torch.tensor(500), torch.randn(2, 77, 768))),
                ("vae-encode", encoder, (torch.randn(1, 3, 64, 64),)),
                ("vae-decode", decoder, (torch.randn(1, 4, 16, 16),))):
            openvino.save_model(openvino.convert_model(network, example_input=example),
                                part / f"{name}.xml", compress_to_fp16=False)
        part.rename(self.folder)

    def run(self, case, numbers):
        import numpy
        if case == "unet":
            side, batch = numbers
            inputs = [numpy.random.randn(batch, 4, side, side).astype("f4"), numpy.array(500),
                      numpy.random.randn(batch, 77, 768).astype("f4")]
        elif case == "vae-encode":
            inputs = [numpy.random.rand(1, 3, *numbers * 2).astype("f4")]
        elif case == "vae-decode":
            inputs = [numpy.random.randn(1, 4, numbers[0] // 8, numbers[0] // 8).astype("f4")]
        else:
            raise NotImplementedError(case)
        if case not in self.networks:
            self.networks[case] = self.core.compile_model(self.folder / f"{case}.xml", "CPU", self.settings)
        self.networks[case](inputs)


def work(engine):
    """The protocol of model_server.cpp: a case a line in, a JSON line out."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        case, *numbers = line.split()
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        engine.run(case, [int(n) for n in numbers])
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(json.dumps({"seconds": round(seconds, 5), "cpu_seconds": round(cpu, 5),
                          "page_faults": after.ru_minflt - before.ru_minflt,
                          "peak_rss_mib": after.ru_maxrss >> 10}), file=answers, flush=True)


# The comparison


class Process:
    def __init__(self, name, options):
        environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads), HF_HUB_OFFLINE="1",
                           DIFFUSERS_VERBOSITY="error")
        command = [sys.executable, __file__, "--engine", name, "--model", str(options.model), "--dtype",
                   options.dtype, "--threads", str(options.threads)]
        if name == "weft":
            command = [options.server, str(options.model), options.dtype, str(options.threads)]
        if name == "tuned":
            environment.update(TUNED_MALLOC)
        self.name = name
        self.pipe = subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE)
        if self.pipe.stdout.readline().strip() != "ready":
            sys.exit(f"compare_models: {name} does not start")

    def ask(self, case):
        print(case, file=self.pipe.stdin, flush=True)
        line = self.pipe.stdout.readline()
        if not line:
            sys.exit(f"compare_models: {self.name} stopped in '{case}'")
        return json.loads(line)

    def close(self):
        self.pipe.stdin.close()
        self.pipe.wait()


def measure(processes, case, rounds, clock):
    """The least time of each engine, after a warm-up; runs are interleaved."""
    able = [p for p in processes if not (p.name == "openvino" and case.split()[0] in ("text", "picture"))]
    if not case.startswith("picture"):
        for process in able:
            process.ask(case)
    runs = {process.name: [] for process in able}
    for _ in range(1 if case.startswith("picture") else rounds):
        for process in able:
            runs[process.name].append(process.ask(case))
    return {name: min(taken, key=lambda run: run[clock]) for name, taken in runs.items()}


def print_row(case, row, engines, clock):
    def cell(name):
        return f"{row[name][clock]:9.3f}" if name in row else "        -"

    def ratio(name):
        return f"{row[name][clock] / row['weft'][clock]:8.2f}x" if name in row and "weft" in row else ""

    print(f"{case:16}" + "".join(cell(n) for n in engines)
          + "".join(ratio(n) for n in engines if n != "weft"), flush=True)


def compare(options):
    engines = options.engines.split(",")
    if "openvino" in engines:
        try:
            import openvino  # noqa: F401
        except ImportError:
            engines.remove("openvino")
            print("openvino is not installed: no column for it")
    if not options.model.is_dir():
        print(f"making {options.model}", flush=True)
        make_model(options.model, Path(__file__).parents[1] / "parity/models/sd/tokenizer")
    if "openvino" in engines:
        Process("openvino", options).close()  # converts what is missing, which takes 10 GB, beside nobody
    wanted = list(CASES) if options.cases == "all" else options.cases.split(",")
    processes = [Process(name, options) for name in engines]
    print(f"{options.dtype}, {options.threads} threads, least of {options.rounds} interleaved runs, {options.clock}; "
          "then how many times faster weft is\n" + " " * 16
          + "".join(f"{n:>9}" for n in engines) + "".join(f"{n:>9}" for n in engines if n != "weft"), flush=True)
    rows = {}
    for case in (case for group in wanted for case in CASES.get(group, [group])):
        rows[case] = measure(processes, case, options.rounds, options.clock)
        print_row(case, rows[case], engines, options.clock)
    if rows:
        last = {n: max(row[n]["peak_rss_mib"] for row in rows.values() if n in row) for n in engines}
        print(f"{'peak RSS, MiB':16}" + "".join(f"{last[n]:9}" for n in engines))
    for process in processes:
        process.close()
    if options.json:
        Path(options.json).write_text(json.dumps({"dtype": options.dtype, "threads": options.threads, "cases": rows}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--server", help="weft's side, build/bin/bench_model")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=["seconds", "cpu_seconds"], default="seconds",
                        help="what is compared; cpu_seconds of one thread bear other work on the same core")
    parser.add_argument("--engines", default="weft,diffusers,tuned,openvino")
    parser.add_argument("--cases", default="all", help="all, or groups and cases: 'text,unet 32 2'")
    parser.add_argument("--json", help="also write all figures here")
    options = parser.parse_args()
    if options.engine is None:
        return compare(options)
    if options.engine == "openvino":
        return work(OpenVino(options.model, options.dtype, options.threads))
    import torch
    with torch.inference_mode():
        return work(Diffusers(options.model, options.dtype, options.threads, options.engine == "tuned"))


if __name__ == "__main__":
    main()
