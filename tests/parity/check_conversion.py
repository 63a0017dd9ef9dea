"""Checks that single files written by weft hold what diffusers' own conversion reads, value by value.

    python tests/parity/check_conversion.py REPOSITORY WEFT_PROGRAM

Converts tiny models of this folder with `weft convert`, applies diffusers' convert_ldm_unet_checkpoint,
convert_ldm_vae_checkpoint, convert_ldm_clip_checkpoint and convert_open_clip_checkpoint to the result, and
compares with the tensors of the folder. Needs diffusers and safetensors.
"""
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import torch
from diffusers.loaders import single_file_utils as theirs
from safetensors.torch import load_file

MODELS = {"sd": ["models/sd"], "inpaint": ["models/sd", "families/sd1-inpaint"],
          "upscaler": ["models/sd", "families/upscaler"], "sdxl": ["models/sd", "families/sdxl"],
          "refiner": ["models/sd", "families/sdxl", "families/sdxl-refiner"]}


def weights(folder):
    return load_file(next(folder.glob("*.safetensors")))


def config(folder):
    read = json.loads((folder / "config.json").read_text())
    defaults = {"class_embed_type": None, "addition_embed_type": None, "num_class_embeds": None}
    return defaults | read


def text_back(stored, name, folder):
    if name == "text_encoder":
        prefix = "cond_stage_model." if any(k.startswith("cond_stage_model.") for k in stored) else None
        return theirs.convert_ldm_clip_checkpoint(dict(stored), prefix and prefix + "transformer.")
    prefix = "conditioner.embedders.1.model."
    if not any(k.startswith(prefix) for k in stored):
        prefix = "conditioner.embedders.0.model."
    model = SimpleNamespace(config=SimpleNamespace(hidden_size=config(folder)["hidden_size"]))
    # Their split goes by the projection's width, which only the released models share with the states.
    bare = {k: v for k, v in stored.items() if not k.endswith("text_projection")}
    back = theirs.convert_open_clip_checkpoint(model, bare, prefix)
    return back | {"text_projection.weight": stored[prefix + "text_projection"].T}


def check(component, folder, stored):
    expected = weights(folder)
    if component == "unet":
        back = theirs.convert_ldm_unet_checkpoint(dict(stored), config(folder))
    elif component == "vae":
        back = theirs.convert_ldm_vae_checkpoint(dict(stored), config(folder))
    else:
        back = text_back(stored, component, folder)
        back, expected = ({k.removeprefix("text_model."): v for k, v in d.items()} for d in (back, expected))
    assert set(back) == set(expected), set(back) ^ set(expected)
    wrong = [k for k in expected if not torch.equal(back[k], expected[k])]
    assert not wrong, wrong
    return len(expected)


def main():
    parity, weft = Path(sys.argv[1]) / "tests/parity", sys.argv[2]
    for name, layers in MODELS.items():
        with tempfile.TemporaryDirectory() as temporary:
            model, file = Path(temporary) / "model", Path(temporary) / "file.safetensors"
            for layer in layers:
                shutil.copytree(parity / layer, model, dirs_exist_ok=True)
            index = json.loads((model / "model_index.json").read_text())
            for component, entry in index.items():
                if isinstance(entry, list) and entry[0] is None:
                    shutil.rmtree(model / component, ignore_errors=True)
            subprocess.run([weft, "convert", "-q", model, file], check=True)
            stored = load_file(file)
            counts = {c: check(c, model / c, stored)
                      for c in ("unet", "vae", "text_encoder", "text_encoder_2") if (model / c).is_dir()}
            print(name, counts)


main()
