"""LoRA adapters as PEFT directories, in and out.

Adapter weights are a mapping from dotted path to array, as `lora.take_apart` gives: `layers.attn.q.lora.a`.
In a file each module has A [R, in] and B [out, R], float32; W gains scale * B A.
Letters: R rank, in and out the flattened axes of a linear layer.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from safetensors.numpy import save

from reeval import lora, sharding
from reeval.hf import peft_config, peft_tensors
from reeval.hf.directory import appearing
from reeval.hf.layout import Entry
from reeval.hf.names import family_of, module_name, open_config
from reeval.hf.peft_config import CONFIG, PeftConfig
from reeval.hf.peft_tensors import PREFIX, WEIGHTS, Linear, Matrices, Part, modules
from reeval.hf.record import write_record
from reeval.hf.weights import finite


def save_adapter(
    out: str | Path,
    base: str | Path,
    adapter: Mapping[str, jax.Array],
    config: lora.LoRAConfig,
    *,
    base_name: str | None = None,
    card: str | None = None,
    record: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a PEFT directory that appears whole or not at all.

    Args:
        base: the directory of the base model.
        base_name: what PEFT is to load the base model by, a path or a name on a hub; by default its path.
        card: text of the model card.
        record: of how the judge is to be asked, see `hf.record`.
    Raises:
        ValueError: one line, if the base has no readable config, a number is not finite, or `out` may not be written.
    """
    family, base_config = open_config(base)
    held = list(matrices(adapter, family.table(base_config)))
    tensors = {
        f"{PREFIX}{module}.lora_{letter}.weight": np.ascontiguousarray(part)
        for module, parts in held
        for letter, part in zip("AB", parts, strict=True)
    }
    if damaged := [name for name, tensor in tensors.items() if not finite(tensor)]:
        raise ValueError(f"{damaged[0]} would be NaN or infinite: the training diverged; not written")
    described = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(Path(base).resolve()) if base_name is None else base_name,
        "inference_mode": True,
        "r": config.rank,
        "lora_alpha": int(config.alpha) if float(config.alpha).is_integer() else config.alpha,
        "use_rslora": config.rslora,
        "lora_dropout": config.dropout,
        "target_modules": _targets([module for module, _ in held]),
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
        write_record(directory, record)


def load_adapter(path: str | Path, model: nnx.Module) -> lora.LoRAConfig:
    """Give `model` the adapter of a PEFT directory, and say what it is.

    In the file, modules may have ranks and scales of their own, and not every layer need have an adapter. Here all
    have the largest rank and one scale: A and B are padded with zeros, and B takes up the difference of the scales.
    A vision tower has no adapters here: what the file has for it is added to the tower's weights, in float32, so
    that `save_model` writes it and `save_adapter` does not. A decoder alone goes without, for text never reaches it.

    Raises:
        ValueError: one line, if the directory is incomplete or damaged, says what we cannot express, or does
            not fit the model (all tensors that do not are named), or the model has an adapter already.
    """
    directory = Path(path)
    settings = peft_config.read(directory)
    tensors = peft_tensors.read(directory)
    linear = peft_tensors.linear_layers(model, tensors)
    try:
        if any(layer.einsum is not None and layer.einsum.lora is not None for layer in linear):
            raise ValueError("the model has an adapter already; merge that, or load the model anew")
        parts = peft_tensors.match(settings, tensors, linear, family_of(model))
        config = _common(settings, parts, [layer for layer in linear if layer.einsum is not None])
    except ValueError as error:
        raise ValueError(f"{directory / WEIGHTS}: {error}") from None

    lora.add(model, config, module_name, rngs=nnx.Rngs(0))
    for layer in linear:
        own = [parts.get(module) for module in layer.modules]
        if layer.einsum is None:
            _add(layer, own)
        elif layer.einsum.lora is not None:
            fitted = [_fitted(part, layer.file_shape, config) for part in own]
            _fill(layer, layer.einsum.lora.a, [a.T for a, _ in fitted])
            _fill(layer, layer.einsum.lora.b, [b.T for _, b in fitted])
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
        for layer, module in enumerate(modules(entry, a.shape)):
            one_a, one_b = (a[layer], b[layer]) if entry.stacked else (a, b)
            yield module, Matrices(one_a.reshape(-1, rank).T, one_b.reshape(rank, -1).T)


def _targets(names: Iterable[str]) -> list[str] | str:
    """PEFT's `target_modules` for these modules of all layers."""
    within = sorted({re.sub(r".*\.layers\.\d+\.", "", name) for name in names})
    if not any("language_model." in name for name in names):
        return sorted({name.rsplit(".", 1)[-1] for name in within})
    # A list would have PEFT adapt the vision tower's modules of these names too. The decoder is `language_model` in
    # `model` in current transformers, and had a `model` within itself in older ones.
    inner = "|".join(re.escape(name) for name in within if name != "lm_head")
    return rf"(?:.*\.)?language_model\..*\.(?:{inner})" + (r"|(?:.*\.)?lm_head" if "lm_head" in within else "")


def _common(settings: PeftConfig, parts: Mapping[str, Part], linear: Sequence[Linear]) -> lora.LoRAConfig:
    """The config that serves all parts of these layers: the largest rank, and the alpha of the file's config."""
    adapted = [layer for layer in linear if not parts.keys().isdisjoint(layer.modules)]
    if not adapted:
        raise ValueError("does not fit the model: it adapts no linear layer of the language model")
    return lora.LoRAConfig(
        rank=max(len(parts[module].matrices.a) for layer in adapted for module in layer.modules if module in parts),
        alpha=settings.alpha or 1.0,  # 0 leaves nothing that B could be divided by
        rslora=settings.rslora,
        dropout=settings.dropout,
        targets="|".join(sorted(re.escape(layer.entry.module) for layer in adapted)),
    )


def _fitted(part: Part | None, shape: tuple[int, ...], config: lora.LoRAConfig) -> Matrices:
    """A part at the rank and scale of `config`; zeros where there is none."""
    rows, columns = shape
    a, b = np.zeros((config.rank, columns), np.float32), np.zeros((rows, config.rank), np.float32)
    if part is not None:
        rank = len(part.matrices.a)
        a[:rank] = part.matrices.a
        # Where a module's scale is the config's, B is kept bit for bit.
        same = part.scale == config.scale
        b[:, :rank] = part.matrices.b if same else part.matrices.b * np.float32(part.scale / config.scale)
    return Matrices(a, b)


def _fill(layer: Linear, variable: nnx.Param, parts: Sequence[np.ndarray]) -> None:
    whole = (np.stack(parts) if layer.entry.stacked else parts[0]).reshape(variable.shape)
    variable[...] = _beside(layer.weight, variable, whole)


def _add(layer: Linear, parts: Sequence[Part | None]) -> None:
    """Add adapters to the weight itself, one for each layer."""
    if not any(parts):
        return
    placed = layer.weight[...].sharding
    whole = np.array(layer.weight[...])
    for n, part in enumerate(parts):
        if part is not None:
            delta = layer.entry.from_file(part.matrices.delta(part.scale), whole.shape[1:])
            whole[n] = (whole[n].astype(np.float32) + delta).astype(whole.dtype)
    layer.weight[...] = jax.device_put(whole, placed)


def _beside(weight: nnx.Param, variable: nnx.Param, value: np.ndarray) -> jax.Array:
    """The value on the mesh that the weight is on."""
    placed = weight[...].sharding
    if not isinstance(placed, NamedSharding) or not isinstance(placed.mesh, Mesh):
        return jnp.asarray(value)
    return jax.device_put(value, sharding.place(placed.mesh, variable.get_metadata("axes"), value.shape))
