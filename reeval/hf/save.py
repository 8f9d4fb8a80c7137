"""Models of ours as Hugging Face directories that transformers and vLLM load as they are."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from reeval import lora
from reeval.hf import tokenizer as tokenizer_files
from reeval.hf.adapter import matrices
from reeval.hf.directory import appearing
from reeval.hf.layout import Entry, spelled
from reeval.hf.load import open_checkpoint
from reeval.hf.names import CONFIG, family_of, read_json
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
    card: str | None = None,
    record: Mapping[str, str] | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    overwrite: bool = False,
) -> None:
    """Write the base model with the adapter added to its weights; the directory appears whole or not at all.

    Tensor after tensor goes from file to file: what has no adapter comes out bit for bit, the rest is summed
    in float32 and rounded to the dtype of the file. No more than one tensor is held besides the adapter.

    Args:
        base: the directory of the base model.
        adapter: by dotted path, as `lora.take_apart` gives it; without one the base is copied.
        config: of the adapter.
        card: text of the model card.
        record: of how the judge is to be asked, see `hf.record`.
    Raises:
        ValueError: one line, if the base is damaged or no port of ours expresses it, the adapter does not fit
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

    def read(name: str) -> np.ndarray:
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
    table = {entry.path: entry for entry in written}
    tensors: dict[str, Tensor] = {}
    places: dict[str, tuple[Entry, jax.Array, Any]] = {}
    for path, variable in nnx.to_flat_state(nnx.state(model)):
        entry = table[".".join(map(str, path))]
        array = variable[...]
        for layer, name in enumerate(entry.names(array.shape)):
            tensors[name] = Tensor(Path(), entry.file_shape(array.shape), np.dtype(array.dtype))
            places[name] = (entry, array, layer if entry.stacked else ...)

    def read(name: str) -> np.ndarray:
        entry, array, layer = places[name]
        return entry.to_file(np.asarray(array[layer]))

    dtype = np.dtype(model.embed.embedding.dtype)
    assert dtype in DTYPES.values()
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    with appearing(out, overwrite=overwrite) as directory:
        write(directory, dict(sorted(tensors.items())), read, max_shard_bytes)
        tokenizer.save_pretrained(directory)
        # Both names of the dtype: transformers 4 reads the first, 5 writes the second.
        described = family.write_config(model.config) | ids | {"torch_dtype": dtype.name, "dtype": dtype.name}
        _write_json(directory / CONFIG, described)
        _write_json(directory / _GENERATION, _generation(directory))
        if card is not None:
            (directory / "README.md").write_text(card, encoding="utf-8")


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
