"""Random checkpoints of named Qwen3 shapes, as a normal Hugging Face directory: what a benchmark needs of a model.

Speed does not depend on what the weights are, but on how long the answers get, and whether two programs agree on them
depends on how far apart the logits are. So matrices are as large as trained ones are in relation to their inputs,
tokens that begin with a quotation mark are likelier than others, which ends quoted spans after some words, and those
of `none` are less likely, because an answer that ends at once measures nothing.
"""

import functools
import json
import math
import shutil
import zlib
from pathlib import Path

import ml_dtypes
import numpy as np

from reeval import hf, verdicts
from reeval.hf import qwen3, weights
from reeval.hf.tokenizer import FILES
from reeval.models.qwen3 import Qwen3Config

# Vocabulary (0: as large as the tokenizer's), model, hidden, layers, heads, key heads, head size, tied.
_SIZES = {
    "tiny": (0, 64, 128, 2, 4, 2, 16, True),
    "qwen3_80m": (151936, 384, 1152, 12, 8, 4, 64, True),
    "small_vocabulary_60m": (0, 640, 1920, 12, 10, 5, 64, True),
    "qwen3_0.6b": (151936, 1024, 3072, 28, 16, 8, 128, True),
    "qwen3_8b": (151936, 4096, 12288, 36, 32, 8, 128, False),
}
SHAPES = tuple(_SIZES)
# Of no size of a matrix a multiple, so that no two rows are the same; large enough to be copied at memory speed.
_POOL = 2**24 + 43
_GAIN, _LOUDER, _QUIETER = 1.2, 4.0, 0.1
_SHARD_BYTES = 4 * 10**9


def write_random(directory: Path, shape: str, tokenizer_directory: Path, dtype: str) -> int:
    """Write a checkpoint with random weights and a tokenizer's files; gives the number of parameters.

    No more than one tensor is in memory. All come from one pool of random numbers, each from a place of its own.

    Args:
        shape: one of `SHAPES`.
        dtype: float32 or bfloat16.
    Raises:
        ValueError: if the tokenizer cannot be read, or has more tokens than the shape's vocabulary.
    """
    tokenizer = hf.load_tokenizer(tokenizer_directory)
    config = _config(shape, len(tokenizer))
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"{tokenizer_directory}: has {len(tokenizer)} tokens, and --shape={shape} only {config.vocab_size}"
        )
    directory.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (tokenizer_directory / name).is_file():
            shutil.copyfile(tokenizer_directory / name, directory / name)
    raw = qwen3.write_config(config) | {"torch_dtype": dtype, "dtype": dtype}
    (directory / "config.json").write_text(json.dumps(raw, indent=2))
    vocabulary = tokenizer.get_vocab().items()
    quoting = np.asarray([i for token, i in vocabulary if token.startswith('"')])
    none = np.asarray([i for token, i in vocabulary if verdicts.NONE.startswith(token)])
    wanted = {
        name: weights.Tensor(Path(), shape, np.dtype(getattr(ml_dtypes, dtype, dtype)))
        for name, shape in _shapes(config).items()
    }
    head = "model.embed_tokens.weight" if config.tied else "lm_head.weight"

    def read(name: str) -> np.ndarray:
        tensor = wanted[name]
        if len(tensor.shape) == 1:  # the scale of a norm
            return np.ones(tensor.shape, tensor.dtype)
        made = _noise(name, tensor.shape, tensor.dtype)
        if name == head:
            for rows, factor in ((quoting, _LOUDER), (none, _QUIETER)):
                made[rows] = (made[rows].astype(np.float32) * factor).astype(tensor.dtype)
        return made

    weights.write(directory, wanted, read, _SHARD_BYTES)
    return sum(math.prod(tensor.shape) for tensor in wanted.values())


def _config(shape: str, tokens: int) -> Qwen3Config:
    vocabulary, model, hidden, layers, heads, kv_heads, head_dim, tied = _SIZES[shape]
    return Qwen3Config(
        vocab_size=vocabulary or tokens,
        d_model=model,
        hidden=hidden,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        norm_eps=1e-6,
        tied=tied,
        rope_theta=1e6,
    )


def _shapes(c: Qwen3Config) -> dict[str, tuple[int, ...]]:
    size = {
        "V": c.vocab_size, "D": c.d_model, "F": c.hidden, "N": c.num_heads, "K": c.num_kv_heads, "H": c.head_dim,
    }  # fmt: skip
    return {
        name: tuple(math.prod(size[letter] for letter in group) for group in entry.groups)
        for entry in qwen3.table(c)
        for name in entry.names((c.num_layers,))
    }


def _noise(name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Normal numbers; [out, in] keeps the size of its input."""
    pool = _pool(_GAIN / shape[1] ** 0.5, dtype)
    made = np.empty(math.prod(shape), dtype)
    at = zlib.crc32(name.encode()) % pool.size
    for start in range(0, made.size, pool.size):
        part = made[start : start + pool.size]
        first = min(part.size, pool.size - at)
        part[:first], part[first:] = pool[at : at + first], pool[: part.size - first]
    return made.reshape(shape)


@functools.cache
def _pool(scale: float, dtype: np.dtype) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(_POOL, np.float32) * np.float32(scale)).astype(dtype)
