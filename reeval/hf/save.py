"""Models of ours as Hugging Face directories that transformers and vLLM load as they are."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from reeval import lora
from reeval.hf import tokenizer as tokenizer_files
from reeval.hf.adapter import matrices
from reeval.hf.directory import appearing
from reeval.hf.layout import Entry, spelled
from reeval.hf.load import open_checkpoint
from reeval.hf.names import CONFIG, family_of, open_config, read_json
from reeval.hf.record import write_record
from reeval.hf.weights import DTYPES, Tensor, write

MAX_SHARD_BYTES = 5 * 10**9
_GENERATION = "generation_config.json"


def save_merged(
    out: str | Path,
    base: str | Path,
    adapter: Mapping[str, jax.Array] | None = None,
    config: lora.LoRAConfig | None = None,
    *,
    trained: Mapping[str, jax.Array] | None = None,
    card: str | None = None,
    record: Mapping[str, str] | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    overwrite: bool = False,
) -> None:
    """Write the base model with the adapter added to its weights, or with weights that took the place of its own; the
    directory appears whole or not at all.

    Tensor after tensor goes from file to file: what nobody trained comes out bit for bit, the rest is summed in float32
    and rounded to the dtype of the file. No more than one tensor is held besides what was trained.

    Args:
        base: the directory of the base model.
        adapter: by dotted path, as `lora.take_apart` gives it; without one the base is copied.
        config: of the adapter.
        trained: by dotted path, too, what stands in place of the base's weights.
        card: text of the model card.
        record: of how the judge is to be asked, see `hf.record`.
    Raises:
        ValueError: one line, if the base is damaged or no port of ours expresses it, what was trained does not fit
            it, a number is NaN or infinite before or after, or `out` may not be written.
    """
    base, out = Path(base), Path(out)
    checkpoint = open_checkpoint(base)
    if base.resolve().is_relative_to(out.resolve()):
        raise ValueError(f"{out}: is or holds the base model's own directory; give another")
    weights = checkpoint.weights
    added = dict(matrices(adapter or {}, tuple(checkpoint.table.values())))
    for module, (a, b) in added.items():
        held = weights[f"{module}.weight"].shape if f"{module}.weight" in weights else None
        if held != (b.shape[0], a.shape[1]):
            raise ValueError(f"{base}: the adapter was made for another model: {module} does not fit")

    replaced = _by_name(trained or {}, checkpoint.table)
    family, _ = open_config(base)
    (head,) = spelled([family.HEAD], family.SPELLINGS, weights)
    if trained and head.path not in checkpoint.table and head.name in weights:
        # A tied head that the files hold all the same.
        replaced[head.name] = replaced[checkpoint.table["embed.embedding"].name]
    for name, place in replaced.items():
        if place.shape != weights[name].shape:
            raise ValueError(f"{base}: another model was trained: {name} does not fit")

    def read(name: str) -> np.ndarray:
        if name in replaced:
            with np.errstate(over="ignore"):  # what comes of it, `write` refuses
                return replaced[name].read().astype(weights[name].dtype)
        tensor = weights.read(name)
        one = added.get(name.removesuffix(".weight"))
        if one is None:
            return tensor
        assert config is not None
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it, `write` refuses
            return (tensor.astype(np.float32) + one.delta(config.scale)).astype(tensor.dtype)

    with appearing(out, overwrite=overwrite) as directory:
        write(directory, weights, read, max_shard_bytes)
        shutil.copyfile(base / CONFIG, directory / CONFIG)
        for name in tokenizer_files.FILES:
            if (base / name).is_file():
                shutil.copyfile(base / name, directory / name)
        _write_json(directory / _GENERATION, _generation(base))
        if card is not None:
            (directory / "README.md").write_text(card, encoding="utf-8")
        write_record(directory, record)


def save_model(
    out: str | Path,
    model: nnx.Module,
    tokenizer: Any,
    *,
    card: str | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    overwrite: bool = False,
) -> None:
    """Write a model that was made here, in the dtype that it has, with its transformers tokenizer.

    Raises:
        ValueError: if it has adapters (merge them first), the tokenizer is another model's, or `out` may not
            be written.
    """
    family = family_of(model)
    if any(einsum.lora is not None for _, einsum in lora.projections(model)):
        raise ValueError("the model has adapters: merge them first, or save them apart")
    if len(tokenizer) > model.config.vocab_size:
        raise ValueError(f"{len(tokenizer)} tokens, more than the model's vocabulary of {model.config.vocab_size}")
    written = spelled(family.table(model.config), family.SPELLINGS, family.saved_as(model.config))
    arrays = {".".join(map(str, path)): variable[...] for path, variable in nnx.to_flat_state(nnx.state(model))}
    places = _by_name(arrays, {entry.path: entry for entry in written})
    tensors = {name: Tensor(Path(), place.shape, np.dtype(place.array.dtype)) for name, place in places.items()}
    dtype = np.dtype(model.embed.embedding.dtype)
    assert dtype in DTYPES.values()
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    with appearing(out, overwrite=overwrite) as directory:
        write(directory, dict(sorted(tensors.items())), lambda name: places[name].read(), max_shard_bytes)
        tokenizer.save_pretrained(directory)
        # Both names of the dtype: transformers 4 reads the first, 5 writes the second.
        described = family.write_config(model.config) | ids | {"torch_dtype": dtype.name, "dtype": dtype.name}
        _write_json(directory / CONFIG, described)
        _write_json(directory / _GENERATION, _generation(directory))
        if card is not None:
            (directory / "README.md").write_text(card, encoding="utf-8")


class _Place(NamedTuple):
    """Of which array of ours, of which of its layers, a file's tensor is."""

    entry: Entry
    array: jax.Array
    layer: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor in the file."""
        return self.entry.file_shape(self.array.shape)

    def read(self) -> np.ndarray:
        return self.entry.to_file(np.asarray(self.array[self.layer]))


def _by_name(arrays: Mapping[str, jax.Array], table: Mapping[str, Entry]) -> dict[str, _Place]:
    """From arrays by dotted path to the file's tensors by name."""
    return {
        name: _Place(table[path], array, layer if table[path].stacked else ...)
        for path, array in arrays.items()
        for layer, name in enumerate(table[path].names(array.shape))
    }


def _generation(base: Path) -> dict[str, Any]:
    """Greedy decoding, with the special tokens of the base."""
    raw = read_json(base / CONFIG)
    # A multimodal config of transformers 5 says them for its decoder.
    known = (raw.get("text_config") or {}) | raw
    if (base / _GENERATION).is_file():
        known |= read_json(base / _GENERATION)
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    return {"do_sample": False} | {name: known[name] for name in names if known.get(name) is not None}


def _write_json(file: Path, value: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
