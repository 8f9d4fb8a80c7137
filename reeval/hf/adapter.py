"""LoRA adapters as PEFT directories, in and out.

Adapter weights are a mapping from dotted path to array, as `lora.take_apart` gives: `layers.attn.q.lora.a`.
In a file each module has A [R, in] and B [out, R], float32; W gains scale * B A.
Letters: R rank, in and out the flattened axes of a linear layer.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from reeval import lora, sharding
from reeval.hf.directory import appearing
from reeval.hf.layout import Entry
from reeval.hf.names import family_of, module_name, open_config, read_json
from reeval.hf.weights import misfits

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."

# What PEFT can express and we cannot, with the value that means "not used".
_UNSUPPORTED: dict[str, Any] = {
    "use_dora": False,
    "bias": "none",
    "lora_bias": False,
    "modules_to_save": None,
    "fan_in_fan_out": False,
    "rank_pattern": {},
    "alpha_pattern": {},
    "layers_to_transform": None,
    "layer_replication": None,
    "trainable_token_indices": None,
    "target_parameters": None,
    "use_qalora": False,
    "alora_invocation_tokens": None,
}


class Matrices(NamedTuple):
    """The adapter of one linear layer of a file, float32."""

    a: np.ndarray  # [R, in]
    b: np.ndarray  # [out, R]

    def delta(self, scale: float) -> np.ndarray:
        """What it adds to the layer's weight: [out, in] float32."""
        return np.matmul(self.b, self.a) * np.float32(scale)


def save_adapter(
    out: str | Path,
    base: str | Path,
    adapter: Mapping[str, jax.Array],
    config: lora.LoRAConfig,
    *,
    base_name: str | None = None,
    card: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a PEFT directory that appears whole or not at all.

    Args:
        base: the directory of the base model.
        base_name: what PEFT is to load the base model by, a path or a name on a hub; by default its path.
        card: text of the model card.
    Raises:
        ValueError: one line, if the base has no readable config or `out` may not be written.
    """
    family, base_config = open_config(base)
    tensors = {}
    for module, (a, b) in matrices(adapter, family.table(base_config)):
        tensors[f"{_PREFIX}{module}.lora_A.weight"] = np.ascontiguousarray(a)
        tensors[f"{_PREFIX}{module}.lora_B.weight"] = np.ascontiguousarray(b)
    described = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(Path(base).resolve()) if base_name is None else base_name,
        "inference_mode": True,
        "r": config.rank,
        "lora_alpha": int(config.alpha) if float(config.alpha).is_integer() else config.alpha,
        "use_rslora": config.rslora,
        "lora_dropout": config.dropout,
        "target_modules": sorted({name.split(".lora_")[0].rsplit(".", 1)[-1] for name in tensors}),
        "init_lora_weights": True,
        "bias": "none",
        "fan_in_fan_out": False,
        "modules_to_save": None,
        "rank_pattern": {},
        "alpha_pattern": {},
        "layers_to_transform": None,
    }
    with appearing(out, overwrite=overwrite) as directory:
        # As bytes: save_file makes a file that only its owner can read.
        (directory / WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))
        (directory / CONFIG).write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")
        if card is not None:
            (directory / "README.md").write_text(card, encoding="utf-8")


def load_adapter(path: str | Path, model: nnx.Module) -> lora.LoRAConfig:
    """Give `model` the adapter of a PEFT directory, and say what it is.

    Raises:
        ValueError: one line, if the directory is incomplete or damaged, says what we cannot express, or does
            not fit the model (all tensors that do not are named).
    """
    directory = Path(path)
    config, tensors = _read(directory)
    family = family_of(model)
    einsums = {f"{path}.w": einsum for path, einsum in lora.projections(model)}
    entries = [entry for entry in family.table(model.config) if entry.path in einsums]
    present = {name.removeprefix(_PREFIX).rsplit(".lora_", 1)[0] for name in tensors}
    chosen = [e for e in entries if any(name in present for name in _modules(e, einsums[e.path].w.shape))]
    shapes = {
        f"{_PREFIX}{module}.lora_{part}.weight": (config.rank, n) if part == "A" else (n, config.rank)
        for entry in chosen
        for module in _modules(entry, einsums[entry.path].w.shape)
        for part, n in zip("BA", entry.file_shape(einsums[entry.path].w.shape), strict=True)
    }
    problems = misfits(shapes, tensors)
    if problems or not chosen:
        raise ValueError(f"{directory / WEIGHTS}: does not fit the model: {'; '.join(problems) or 'it is empty'}")

    lora.add(model, config, module_name, rngs=nnx.Rngs(0))
    for entry in chosen:
        einsum = einsums[entry.path]
        names = [f"{_PREFIX}{module}" for module in _modules(entry, einsum.w.shape)]
        assert einsum.lora is not None
        for variable, part in ((einsum.lora.a, "A"), (einsum.lora.b, "B")):
            layers = [tensors[f"{name}.lora_{part}.weight"].T for name in names]
            whole = (np.stack(layers) if entry.stacked else layers[0]).reshape(variable.shape)
            variable[...] = _beside(einsum.w, variable, whole.astype(np.float32))
    return config


def matrices(adapter: Mapping[str, jax.Array], table: tuple[Entry, ...]) -> Iterator[tuple[str, Matrices]]:
    """Each adapted linear layer's name in the file (`model.layers.0.self_attn.q_proj`) and its adapter."""
    by_path = {entry.path.removesuffix(".w"): entry for entry in table}
    for path in dict.fromkeys(name.rsplit(".lora.", 1)[0] for name in adapter):
        entry = by_path[path]
        # A linear layer's weight is [out, in] there and in, out here, so that A and B only need flattening.
        assert entry.letters == "".join(reversed(entry.groups)), entry
        a, b = (np.asarray(adapter[f"{path}.lora.{part}"], np.float32) for part in "ab")
        rank = a.shape[-1]
        for layer, module in enumerate(_modules(entry, a.shape)):
            one_a, one_b = (a[layer], b[layer]) if entry.stacked else (a, b)
            yield module, Matrices(one_a.reshape(-1, rank).T, one_b.reshape(rank, -1).T)


def _read(directory: Path) -> tuple[lora.LoRAConfig, dict[str, np.ndarray]]:
    if not (directory / CONFIG).is_file():
        raise ValueError(f"{directory}: no {CONFIG}; give a PEFT adapter directory")
    raw = read_json(directory / CONFIG)
    if raw.get("peft_type") != "LORA":
        raise ValueError(f"{directory / CONFIG}: peft_type {raw.get('peft_type')!r} is not supported, only 'LORA'")
    if used := [name for name, unused in _UNSUPPORTED.items() if raw.get(name) and raw[name] != unused]:
        raise ValueError(f"{directory / CONFIG}: {', '.join(used)} not supported")
    if not (directory / WEIGHTS).is_file():
        raise ValueError(f"{directory}: no {WEIGHTS}; pickled adapters are refused")
    try:
        tensors = load_file(directory / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{directory / WEIGHTS}: damaged or truncated ({error}); fetch it again") from None
    # Which modules PEFT's list or regex meant shows in the tensors.
    names = {re.sub(r".*\.layers\.\d+\.", "", name.removeprefix(_PREFIX).rsplit(".lora_", 1)[0]) for name in tensors}
    try:
        config = lora.LoRAConfig(
            rank=int(raw["r"]),
            alpha=float(raw["lora_alpha"]),
            rslora=bool(raw.get("use_rslora", False)),
            dropout=float(raw.get("lora_dropout", 0.0)),
            targets="|".join(re.escape(name) for name in sorted(names)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{directory / CONFIG}: not a LoRA config ({error})") from None
    return config, tensors


def _modules(entry: Entry, shape: tuple[int, ...]) -> list[str]:
    return [name.removesuffix(".weight") for name in entry.names(shape)]


def _beside(weight: nnx.Param, variable: nnx.Param, value: np.ndarray) -> jax.Array:
    """The value on the mesh that the weight is on."""
    placed = weight[...].sharding
    if not isinstance(placed, NamedSharding) or not isinstance(placed.mesh, Mesh):
        return jnp.asarray(value)
    return jax.device_put(value, sharding.place(placed.mesh, variable.get_metadata("axes"), value.shape))
