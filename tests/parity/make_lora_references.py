"""Writes tests/parity/lora: adapter files of every layout and kind for tests/parity/models/sd, and
tests/parity/loras.safetensors: what diffusers and PEFT make of them.

    python tests/parity/make_lora_references.py REPOSITORY

The UNet's input is sample, timestep, encoder_hidden_states, the text encoder's input_ids; each case has CASE/out and
its options ("component", "loras" as on weft's command line) as JSON in the metadata. Adapters are injected by PEFT and
run unmerged. PEFT has no mid tensor and no file of kohya's or LyCORIS' trainers: for those the file is written under
their names, and for a mid tensor the three convolutions run one after another, as its trainer runs them.
"""
import copy
import json
import sys
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from diffusers.loaders.lora_base import _pack_dict_with_prefix
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from safetensors.torch import save_file
from transformers import CLIPTextModel

CLIPTextModel.text_model = property(lambda model: model)  # as transformers 4 nests it, for diffusers 0.37
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
LINEAR = ATTENTION + ["ff.net.2", "ff.net.0.proj", "time_emb_proj"]
CONV = ["conv1", "conv2", "conv_shortcut", "proj_in", "proj_out", "downsamplers.0.conv", "upsamplers.0.conv"]
TEXT = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
SGM = {"resnets": {"conv1": "in_layers.2", "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1",
                   "conv_shortcut": "skip_connection"}}


class References:
    def __init__(self, parity):
        self.pipe = StableDiffusionPipeline.from_pretrained(parity / "models/sd", safety_checker=None)
        self.pipe.to(torch.float32)
        self.folder = parity / "lora"
        self.folder.mkdir(exist_ok=True)
        generator = torch.Generator().manual_seed(3)
        self.inputs = {
            "sample": torch.randn(2, 4, 8, 12, generator=generator),
            "timestep": torch.tensor([17.0, 803.0]),
            "encoder_hidden_states": torch.randn(2, 5, 16, generator=generator),
            "input_ids": torch.tensor([[715, 320, 533, 12, 716], [715, 99, 716, 716, 716]]),
        }
        self.tensors, self.metadata = dict(self.inputs), {}

    def run_unet(self, unet):
        with torch.no_grad():
            names = ("sample", "timestep", "encoder_hidden_states")
            return unet(*[self.inputs[name] for name in names]).sample

    def run_text(self, text):
        with torch.no_grad():
            return text(self.inputs["input_ids"]).last_hidden_state

    def case(self, component, out, *loras):
        name = str(len(self.metadata))
        self.tensors[f"{name}/out"] = out.clone()
        self.metadata[name] = json.dumps({"component": component, "loras": list(loras)})

    def write(self, name, tensors, metadata=None):
        metadata = {"format": "pt"} | (metadata or {})
        save_file({k: v.detach().contiguous() for k, v in tensors.items()}, self.folder / f"{name}.safetensors", metadata)


def injected(model, config, seed, size=0.5):
    """A copy with an adapter whose every parameter is random and exact in f16; its state dict in PEFT's names."""
    model = inject_adapter_in_model(config, copy.deepcopy(model), "default")
    generator = torch.Generator().manual_seed(seed)
    kinds = ("lora_", "hada_", "lokr_")
    for name, parameter in model.named_parameters():
        if any(kind in name for kind in kinds):
            noise = torch.randn(parameter.shape, generator=generator)
            if "magnitude" in name:
                noise = parameter.data * (1 + 0.2 * noise)
            else:
                noise *= size / max(parameter[0].numel(), 1) ** 0.5
            parameter.data = noise.half().float()
    return model.eval(), get_peft_model_state_dict(model, adapter_name="default")


def half(tensors):
    return {k: v.half() for k, v in tensors.items()}


def kohya(tensors, prefix, alpha, rename=lambda layer: layer):
    """PEFT's names as kohya's sd-scripts and LyCORIS write them."""
    endings = {"lora_A.weight": "lora_down.weight", "lora_B.weight": "lora_up.weight",
               "lora_magnitude_vector": "dora_scale"}
    out = {}
    for key, value in tensors.items():
        for old, new in endings.items():
            key = key.replace("." + old, "#" + new)
        if "#" not in key:
            layer, _, role = key.rpartition(".")
            key = f"{layer}#{role}"
        layer, role = key.split("#")
        layer = prefix + rename(layer).replace(".", "_")
        if role == "dora_scale":  # PEFT: [out] or [1, out, 1, 1]; LyCORIS: [out, 1] or [out, 1, 1, 1]
            value = value.reshape(-1, *[1] * max(value.dim() - 1, 1))
        out[f"{layer}.{role}"] = value
        out[f"{layer}.alpha"] = torch.tensor(float(alpha))
    return out


def sgm(layer, layers=1):
    """A diffusers layer's name in the layout of the original repositories."""
    words = layer.split(".")
    if words[0] == "mid_block":
        entry = 1 if words[1] == "attentions" else 2 * int(words[2])
        block, rest = f"middle_block.{entry}", words[3:]
    else:
        level, kind, index, rest = int(words[1]), words[2], int(words[3]), words[4:]
        part = {"resnets": 0, "attentions": 1}.get(kind, 0)
        if words[0] == "down_blocks":
            number = 1 + level * (layers + 1) + (layers if kind == "downsamplers" else index)
            block, rest = f"input_blocks.{number}.{part}", ["op"] if kind == "downsamplers" else rest
        else:
            # models/sd: only the second level on the way up attends, and only the first ends in an upsampler.
            number = level * (layers + 1) + (layers if kind == "upsamplers" else index)
            block = f"output_blocks.{number}.{1 if kind == 'upsamplers' else part}"
        words[1] = kind
    kind = words[1]
    inner = ".".join(rest)
    return f"{block}.{SGM['resnets'][inner] if kind == 'resnets' else inner}"


def loras(refs):
    unet = refs.pipe.unet
    config = LoraConfig(r=4, lora_alpha=6, target_modules=LINEAR + CONV)
    model, state = injected(unet, config, 1)
    out, state = refs.run_unet(model), half(state)
    refs.write("kohya", kohya(state, "lora_unet_", 6))
    refs.write("sgm", kohya(state, "lora_unet_", 6, sgm))
    refs.write("diffusers", _pack_dict_with_prefix(state, "unet"), {
        "lora_adapter_metadata": json.dumps({"unet.r": 4, "unet.lora_alpha": 6, "unet.alpha_pattern": {}})})
    for name in ("kohya", "sgm", "diffusers"):
        refs.case("unet", out, name)

    config = LoraConfig(r=3, lora_alpha=3, target_modules=ATTENTION)
    model, state = injected(unet, config, 2)
    out, state = refs.run_unet(model), half(state)
    refs.write("old_layers", _pack_dict_with_prefix(convert_state_dict_to_diffusers(state), "unet"))
    old = {}
    for key, value in state.items():
        layer, role = key.replace(".to_out.0.", ".to_out.").rsplit(".lora_", 1)
        site, _, word = layer.rpartition(".")
        old[f"{site}.processor.{word}_lora.{'down' if role.startswith('A') else 'up'}.weight"] = value
    refs.write("old_processors", old)
    refs.case("unet", out, "old_layers")
    refs.case("unet", out, "old_processors")

    folder = refs.folder / "peft"
    folder.mkdir(exist_ok=True)
    config = LoraConfig(r=4, lora_alpha=5, use_rslora=True, target_modules=LINEAR, alpha_pattern={"to_q": 9})
    model, state = injected(unet, config, 3)
    refs.write("peft/adapter_model", half({f"base_model.model.{k}": v for k, v in state.items()}))
    written = {"peft_type": "LORA", "r": 4, "lora_alpha": 5, "use_rslora": True, "alpha_pattern": {"to_q": 9}}
    (folder / "adapter_config.json").write_text(json.dumps(written))
    refs.case("unet", refs.run_unet(model), "peft/adapter_model")


def doras(refs):
    config = LoraConfig(r=4, lora_alpha=4, use_dora=True, target_modules=LINEAR + ["conv1", "conv2"])
    model, state = injected(refs.pipe.unet, config, 4)
    state = half(state)
    refs.write("dora_peft", _pack_dict_with_prefix(state, "unet"))
    refs.write("dora_kohya", kohya(state, "lora_unet_", 4))
    out = refs.run_unet(model)
    refs.case("unet", out, "dora_peft")
    refs.case("unet", out, "dora_kohya")


def scaled_where_whole(state, config):
    """LyCORIS scales factored layers only, PEFT all: a layer of two whole factors takes the scale into one."""
    out = dict(state)
    for key, value in state.items():
        if key.endswith("lokr_w1") and key[:-1] + "2" in state:
            out[key] = value * (config.alpha / config.r)
    return out


def lycoris(refs):
    targets = dict(target_modules=ATTENTION + ["ff.net.2", "conv1", "conv2", "proj_in"])
    kinds = {
        "loha": LoHaConfig(r=3, alpha=4, **targets),
        "loha_tucker": LoHaConfig(r=3, alpha=4, use_effective_conv2d=True, **targets),
        "lokr": LoKrConfig(r=2, alpha=4, decompose_factor=2, **targets),
        "lokr_both": LoKrConfig(r=1, alpha=1, decompose_both=True, decompose_factor=4, **targets),
        "lokr_tucker": LoKrConfig(r=2, alpha=4, use_effective_conv2d=True, decompose_factor=2, **targets),
    }
    for seed, (name, config) in enumerate(kinds.items()):
        # A Kronecker product changes a layer by more than low ranks of the same size do.
        model, state = injected(refs.pipe.unet, config, 10 + seed, 0.6 if "lokr" in name else 1.0)
        out, state = refs.run_unet(model), half(state)
        refs.write(name, kohya(scaled_where_whole(state, config), "lora_unet_", config.alpha))
        refs.case("unet", out, name)
        if name == "lokr":
            (refs.folder / "peft_lokr").mkdir(exist_ok=True)
            refs.write("peft_lokr/adapter_model", {f"base_model.model.{k}": v for k, v in state.items()})
            written = {"peft_type": "LOKR", "r": config.r, "alpha": config.alpha}
            (refs.folder / "peft_lokr/adapter_config.json").write_text(json.dumps(written))
            refs.case("unet", out, "peft_lokr/adapter_model")


def tucker_lora(refs):
    model = copy.deepcopy(refs.pipe.unet).eval()
    generator = torch.Generator().manual_seed(20)
    rank, alpha, tensors = 3, 2.0, {}
    for name, layer in list(model.named_modules()):
        if not (isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (3, 3)):
            continue
        draw = lambda *shape: (torch.randn(*shape, generator=generator) / 3).half()
        down, mid = draw(rank, layer.in_channels, 1, 1), draw(rank, rank, 3, 3)
        up = draw(layer.out_channels, rank, 1, 1)
        flat = "lora_unet_" + name.replace(".", "_")
        tensors |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_mid.weight": mid,
                    f"{flat}.lora_up.weight": up, f"{flat}.alpha": torch.tensor(alpha)}

        def branch(layer, inputs, output, down=down.float(), mid=mid.float(), up=up.float()):
            x = torch.conv2d(inputs[0], down)
            x = torch.conv2d(x, mid, stride=layer.stride, padding=layer.padding)
            return output + torch.conv2d(x, up) * (alpha / rank)

        layer.register_forward_hook(branch)
    refs.write("tucker", tensors)
    refs.case("unet", refs.run_unet(model), "tucker")


def weighted(refs):
    """Weights, several files and weights of parts, by diffusers' own set_adapters."""
    pipe = copy.deepcopy(refs.pipe)
    prefixed = {}
    for name, seed in (("one", 31), ("two", 32)):
        _, state = injected(pipe.unet, LoraConfig(r=4, lora_alpha=4, target_modules=ATTENTION), seed)
        prefixed[name] = _pack_dict_with_prefix(half(state), "unet")
        refs.write(name, prefixed[name])
    for name, state in prefixed.items():
        pipe.unet.load_lora_adapter({k: v.float() for k, v in state.items()}, prefix="unet", adapter_name=name)
    pipe.unet.set_adapters(["one", "two"], [0.7, -0.4])
    refs.case("unet", refs.run_unet(pipe.unet), "one:0.7", "two:-0.4")
    parts = {"down": 0.3, "mid": 0.5, "up": {"block_1": 1.5}}
    pipe.unet.set_adapters(["one"], [parts])
    refs.case("unet", refs.run_unet(pipe.unet), "one:0.8:down=0.3,mid=0.5,up.1=1.5")


def texts(refs):
    text = refs.pipe.text_encoder
    model, state = injected(text, LoraConfig(r=4, lora_alpha=8, target_modules=TEXT), 40)
    out, state = refs.run_text(model), half(state)
    nested = {f"text_model.{k}": v for k, v in state.items()}
    refs.write("text_kohya", kohya(nested, "lora_te_", 8))
    refs.write("text_kohya_xl", kohya(nested, "lora_te1_", 8))
    refs.write("text_diffusers", _pack_dict_with_prefix(nested, "text_encoder"), {
        "lora_adapter_metadata": json.dumps({"text_encoder.r": 4, "text_encoder.lora_alpha": 8})})
    names = {"q_proj": "to_q_lora", "k_proj": "to_k_lora", "v_proj": "to_v_lora", "out_proj": "to_out_lora",
             "fc1": "fc1.lora_linear_layer", "fc2": "fc2.lora_linear_layer"}
    old = {}
    for key, value in nested.items():
        layer, _, role = key.rpartition(".lora_")
        site, _, word = layer.rpartition(".")
        scaled = value * 2 if role.startswith("B") else value  # this layout tells no alpha
        old[f"text_encoder.{site}.{names[word]}.{'down' if role.startswith('A') else 'up'}.weight"] = scaled
    refs.write("text_old", old)
    for name in ("text_kohya", "text_kohya_xl", "text_diffusers", "text_old"):
        refs.case("text_encoder", out, name)


def main():
    parity = Path(sys.argv[1]) / "tests/parity"
    torch.manual_seed(0)
    torch.set_num_threads(1)
    refs = References(parity)
    refs.case("unet", refs.run_unet(refs.pipe.unet))
    refs.case("text_encoder", refs.run_text(refs.pipe.text_encoder))
    for part in (loras, doras, lycoris, tucker_lora, weighted, texts):
        part(refs)
    save_file({k: v.contiguous() for k, v in refs.tensors.items()}, parity / "loras.safetensors", refs.metadata)
    for file in [parity / "loras.safetensors", *refs.folder.rglob("*.*")]:
        file.chmod(0o644)
        print(f"{file.name}: {file.stat().st_size} bytes")


main()
