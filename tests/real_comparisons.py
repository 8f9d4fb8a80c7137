"""Tensor by tensor: what was loaded or exported against the files, by a table of places of its own.

Each comparison yields what it looked at and whether it is right. Files are read by the safetensors library in blocks of
rows, so that this takes little memory beside a model.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from safetensors import safe_open

Results = Iterator[tuple[str, bool]]
_NUMBERS = 2**22  # in a block

_PARTS = {
    "self_attn.q_proj": "attn.q.w", "self_attn.k_proj": "attn.k.w", "self_attn.v_proj": "attn.v.w",
    "self_attn.o_proj": "attn.o.w", "self_attn.q_norm": "attn.q_norm.scale", "self_attn.k_norm": "attn.k_norm.scale",
    "mlp.gate_proj": "mlp.gate.w", "mlp.up_proj": "mlp.up.w", "mlp.down_proj": "mlp.down.w",
}  # fmt: skip
# A tensor's place among our parameters, by what stands around the number of the layer.
_QWEN3 = {
    "model.embed_tokens.weight": "embed.embedding",
    "model.norm.weight": "final_norm.scale",
    "lm_head.weight": "head.w",
    **{f"model.layers.#.{theirs}.weight": f"layers.{ours}" for theirs, ours in _PARTS.items()},
    "model.layers.#.input_layernorm.weight": "layers.attn_norm.scale",
    "model.layers.#.post_attention_layernorm.weight": "layers.mlp_norm.scale",
}
_TOWER = "vision_tower.vision_model"
_TOWER_PARTS = {
    "self_attn.q_proj": "attn.q", "self_attn.k_proj": "attn.k", "self_attn.v_proj": "attn.v",
    "self_attn.out_proj": "attn.o", "mlp.fc1": "up", "mlp.fc2": "down",
}  # fmt: skip
_MEDGEMMA = {
    "language_model.model.embed_tokens.weight": "embed.embedding",
    "language_model.model.norm.weight": "final_norm.scale",
    **{f"language_model.model.layers.#.{theirs}.weight": f"layers.{ours}" for theirs, ours in _PARTS.items()},
    "language_model.model.layers.#.input_layernorm.weight": "layers.attn_norm.scale",
    "language_model.model.layers.#.post_attention_layernorm.weight": "layers.post_attn_norm.scale",
    "language_model.model.layers.#.pre_feedforward_layernorm.weight": "layers.mlp_norm.scale",
    "language_model.model.layers.#.post_feedforward_layernorm.weight": "layers.post_mlp_norm.scale",
    f"{_TOWER}.embeddings.patch_embedding.weight": "vision.patch.w",
    f"{_TOWER}.embeddings.patch_embedding.bias": "vision.patch.bias",
    f"{_TOWER}.embeddings.position_embedding.weight": "vision.position",
    **{
        f"{_TOWER}.encoder.layers.#.{theirs}.weight": f"vision.layers.{ours}.w" for theirs, ours in _TOWER_PARTS.items()
    },
    **{
        f"{_TOWER}.encoder.layers.#.{theirs}.bias": f"vision.layers.{ours}.bias"
        for theirs, ours in _TOWER_PARTS.items()
    },
    **{
        f"{_TOWER}.encoder.layers.#.layer_norm{n}.{theirs}": f"vision.layers.{norm}.{ours}"
        for n, norm in ((1, "attn_norm"), (2, "mlp_norm"))
        for theirs, ours in (("weight", "scale"), ("bias", "bias"))
    },
    f"{_TOWER}.post_layernorm.weight": "vision.final_norm.scale",
    f"{_TOWER}.post_layernorm.bias": "vision.final_norm.bias",
    "multi_modal_projector.mm_input_projection_weight": "projector.w",
    "multi_modal_projector.mm_soft_emb_norm.weight": "projector.norm.scale",
}
PLACES = {"qwen3_8b": _QWEN3, "medgemma_4b": _MEDGEMMA}
OF_IMAGES = r"vision_tower|multi_modal_projector"
# What has no axes of in and out to exchange.
_ALIKE = ("embed.embedding", "vision.position", "projector.w")


class Stored:
    """A tensor in a file, which is open only while something is read."""

    def __init__(self, file: Path, name: str):
        self._file, self._name = file, name
        with safe_open(file, "numpy") as opened:
            part = opened.get_slice(name)
            self.shape, self.dtype = tuple(part.get_shape()), part.get_dtype()

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __getitem__(self, rows: slice) -> np.ndarray:
        with safe_open(self._file, "numpy") as opened:
            return opened.get_slice(self._name)[rows]

    def blocks(self) -> Iterator[slice]:
        """Rows that are about `_NUMBERS` numbers."""
        rows, step = self.shape[0], max(1, _NUMBERS * self.shape[0] // self.size)
        return (slice(at, min(at + step, rows)) for at in range(0, rows, step))


def stored(directory: Path) -> dict[str, Stored]:
    """All tensors of a directory's files, whatever its index says."""
    found = {}
    for file in sorted(directory.glob("*.safetensors")):
        with safe_open(file, "numpy") as opened:
            names = list(opened.keys())
        assert not found.keys() & names
        found |= {name: Stored(file, name) for name in names}
    return found


def written(directory: Path, wanted: dict[str, tuple[int, ...]], files: int) -> Results:
    """The files of a directory against the shapes that they were to have."""
    found = stored(directory)
    yield "number of files", len(list(directory.glob("*.safetensors"))) == files
    for name in wanted | found:
        yield name, name in found and found[name].dtype == "BF16" and found[name].shape == wanted.get(name)


def loaded(base: Path, model: str, held: Any, *, images: bool) -> Results:
    """The parameters of a loaded model against the files."""
    ours = {".".join(map(str, path)): np.asarray(v[...]) for path, v in nnx.to_flat_state(nnx.state(held))}
    unseen = {(path, n) for path, x in ours.items() for n in (range(len(x)) if "layers." in path else [None])}
    for name, tensor in stored(base).items():
        if not images and re.match(OF_IMAGES, name):
            continue
        path, layer = PLACES[model][re.sub(r"\.layers\.\d+\.", ".layers.#.", name)], None
        if number := re.search(r"\.layers\.(\d+)\.", name):
            layer = int(number[1])
        known = (path, layer) in unseen
        unseen.discard((path, layer))
        yield name, known and _holds(ours[path] if layer is None else ours[path][layer], tensor, alike=path in _ALIKE)
    yield f"no tensor for {sorted(path for path, _ in unseen)[:3]}", not unseen


def _holds(ours: np.ndarray, tensor: Stored, *, alike: bool) -> bool:
    """Whether our array [*in, *out] is the file's [out, in], bit by bit."""
    bits = ours.view(np.uint16)
    if ours.size != tensor.size:
        return False
    if len(tensor.shape) == 4:  # patches: out, channels, rows, columns
        bits = np.moveaxis(bits, -1, 0)
    elif len(tensor.shape) == 1 or alike:
        bits = bits.reshape(tensor.shape)
    else:
        bits = bits.reshape(tensor.shape[::-1]).T
    return all(np.array_equal(bits[rows], tensor[rows].view(np.uint16)) for rows in tensor.blocks())


def exported(base: Path, merged: Path, peft: Path) -> Results:
    """A merged directory and a PEFT directory of the same adapter, on all projections, against the base."""
    adapter, config = stored(peft), json.loads((peft / "adapter_config.json").read_text())
    after, scale = stored(merged), np.float32(config["lora_alpha"] / config["r"])
    yield "config.json", (base / "config.json").read_bytes() == (merged / "config.json").read_bytes()
    index = json.loads((merged / "model.safetensors.index.json").read_text())["weight_map"]
    yield "index", {name: (merged / file).is_file() for name, file in index.items()} == dict.fromkeys(after, True)
    for name, before in stored(base).items():
        projection = re.fullmatch(r"(language_model\.)?model\.(layers\.\d+\.\w+\.[a-z]+_proj)\.weight", name)
        now = after.pop(name, None)
        if now is None or (now.shape, now.dtype) != (before.shape, before.dtype):
            yield name, False
        elif projection is None:
            yield name, all(before[rows].tobytes() == now[rows].tobytes() for rows in before.blocks())
        else:
            # PEFT names a module as current transformers do, whatever the file says.
            module = f"base_model.model.model.{'language_model.' if projection[1] else ''}{projection[2]}"
            a, b = (adapter.pop(f"{module}.lora_{part}.weight", None) for part in "AB")
            yield module, a is not None and (a.shape, a.dtype) == ((config["r"], before.shape[1]), "F32")
            yield module, b is not None and (b.shape, b.dtype) == ((before.shape[0], config["r"]), "F32")
            yield name, a is not None and b is not None and _is_sum(before, now, a[:], b[:], scale)
    yield f"merged, but not in the base: {list(after)[:3]}", not after
    yield f"in the adapter, but no projection: {list(adapter)[:3]}", not adapter


def _is_sum(before: Stored, now: Stored, a: np.ndarray, b: np.ndarray, scale: np.float32) -> bool:
    """Whether `now` is before + scale * B A, summed in float32 and rounded once.

    A product in blocks may differ in float32's last bit, which now and then decides what bfloat16 is rounded to: so one
    number in ten thousand may be the neighbour's. The adapter is to have changed nearly all.
    """
    off = changed = 0
    for rows in before.blocks():
        base, found = before[rows], now[rows]
        exact = base.astype(np.float32) + scale * (b[rows] @ a)
        if np.any(np.abs(found.astype(np.float32) - exact) > np.abs(exact) * 2**-8 + 1e-7):
            return False
        off += np.count_nonzero(exact.astype(base.dtype) != found)
        changed += np.count_nonzero(found != base)
    return off <= 1e-4 * before.size and changed > 0.9 * before.size
