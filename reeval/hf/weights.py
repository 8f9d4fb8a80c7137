"""The tensors of a directory, in one safetensors file or several with an index, read and written in pieces.

No more than one tensor is ever held, and no file stays mapped after a read: what a process has mapped counts
as its memory. Arrays of bfloat16 are NumPy arrays of the type that JAX brings (ml_dtypes). Nothing that is NaN
or infinite is given out or written: one such number makes every verdict worthless, and shows only there.
"""

import json
import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from reprlib import repr as short
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"

DTYPES: dict[str, np.dtype] = {
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F16": np.dtype(np.float16),
    "F32": np.dtype(np.float32),
}
_DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
# Numbers in a block that the cache of a processor core holds.
_CACHED = 2**18


class Tensor(NamedTuple):
    """Where a tensor is and what it is; nothing of it is read yet."""

    file: Path
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class Weights(Mapping[str, Tensor]):
    """The tensors of a checkpoint directory by their names, in the order of the files.

    A file may be a link, as in the cache of Hugging Face, where all are: whoever made the link chose its target.
    What was downloaded cannot choose: names in the index are those of files of this directory, or refused.

    Raises:
        ValueError: one line, if there are no safetensors, index and files disagree, or a file is damaged.
    """

    def __init__(self, directory: Path):
        self._tensors: dict[str, Tensor] = {}
        index = _index(directory)
        for file in _files(directory, index):
            found = _headers(file)
            if twice := sorted(found.keys() & self._tensors.keys()):
                raise ValueError(f"{file}: {twice[0]} is in {self._tensors[twice[0]].file.name} too")
            self._tensors |= found
        for name, file_name in ({} if index is None else index).items():
            if name not in self._tensors or self._tensors[name].file.name != file_name:
                raise ValueError(f"{directory / INDEX}: {name} is not in {file_name} as it says; fetch both again")

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def read(self, name: str, slices: tuple[slice, ...] = ()) -> np.ndarray:
        """A tensor, or the part of it that `slices` leave, in the dtype of the file.

        Raises:
            ValueError: one line, if a number of it is NaN or infinite, or the file has gone or changed.
        """
        path = self[name].file
        try:
            with safe_open(path, "numpy") as file:
                part = file.get_slice(name)[slices] if slices else file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: {name} can no longer be read ({error}); was the file changed?") from None
        if not finite(part):
            raise ValueError(f"{path}: {name} holds NaN or infinite numbers; damaged or diverged, fetch another")
        return part


def finite(array: np.ndarray) -> bool:
    """Whether no number of a float array is NaN or infinite.

    The largest bit patterns tell: NaN and infinity have all bits of the exponent set. Read as signed integers,
    none without a sign may reach that of infinity; as unsigned ones, none with a sign that of minus infinity.
    Two maxima of blocks that fit the cache cost less than a copy, and far less than `np.isfinite` of bfloat16.
    """
    bits = array.reshape(-1)
    return all(
        bits[at : at + _CACHED].view(kind).max(initial=0) < infinity.view(kind)
        for at in range(0, bits.size, _CACHED)
        for kind, infinity in (
            (f"i{array.itemsize}", np.array(np.inf, array.dtype)),
            (f"u{array.itemsize}", np.array(-np.inf, array.dtype)),
        )
    )


def write(directory: Path, tensors: Mapping[str, Tensor], read: Callable[[str], np.ndarray], max_bytes: int) -> None:
    """Write tensors into one file or, where they do not fit, several of at most `max_bytes` with an index.

    Args:
        tensors: name to shape and dtype, in the order to write; `file` is not looked at.
        read: gives each, when its turn comes; a tensor larger than `max_bytes` gets a file of its own.
    Raises:
        ValueError: if a number is NaN or infinite.
    """
    groups: list[list[str]] = [[]]
    room = max_bytes
    for name, tensor in tensors.items():
        if tensor.nbytes > room and groups[-1]:
            groups.append([])
            room = max_bytes
        groups[-1].append(name)
        room -= tensor.nbytes
    if len(groups) == 1:
        _write_file(directory / SINGLE, {name: tensors[name] for name in groups[0]}, read)
        return
    weight_map: dict[str, str] = {}
    for n, names in enumerate(groups, start=1):
        file_name = f"model-{n:05d}-of-{len(groups):05d}.safetensors"
        _write_file(directory / file_name, {name: tensors[name] for name in names}, read)
        weight_map |= dict.fromkeys(names, file_name)
    total = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (directory / INDEX).write_text(json.dumps(index, indent=2) + "\n")


def _write_file(file: Path, tensors: Mapping[str, Tensor], read: Callable[[str], np.ndarray]) -> None:
    # The library's own writer wants all tensors of the file in memory. The format: the length of the header,
    # the header in JSON padded to 8 bytes, the tensors without gaps.
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": _DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(file, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for name, tensor in tensors.items():
            array = read(name)
            assert array.shape == tensor.shape and array.dtype == tensor.dtype, name
            if not finite(array):
                raise ValueError(f"{name} would be NaN or infinite: training diverged, or {array.dtype} is too narrow")
            out.write(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
        out.flush()
        os.fsync(out.fileno())


def _index(directory: Path) -> dict[str, str] | None:
    file = directory / INDEX
    if (directory / SINGLE).is_file() or not file.is_file():
        return None
    try:
        weight_map = json.loads(file.read_text())["weight_map"]
        if not all(isinstance(name, str) for name in weight_map.values()):
            raise TypeError
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{file}: not an index of safetensors files (no weight_map); fetch it again") from None
    for name in weight_map.values():
        # A name with a directory in it could point anywhere on this machine.
        if name != os.path.basename(name) or not name.endswith(".safetensors") or not _plain(name):
            raise ValueError(f"{file}: names {short(name)}, which is no safetensors file of this directory; refused")
    if odd := [name for name in weight_map if not _plain(name)]:
        raise ValueError(f"{file}: a tensor is named {short(odd[0])}; refused")
    return weight_map


def _plain(name: str) -> bool:
    """Whether it can be the name of a file, and stand in a message."""
    return name.isprintable() and len(name.encode()) <= 255


def _files(directory: Path, index: Mapping[str, str] | None) -> Iterable[Path]:
    if index is not None:
        files = [directory / name for name in sorted(set(index.values()))]
        if missing := [file.name for file in files if not file.is_file()]:
            raise ValueError(f"{directory / INDEX}: names {', '.join(missing)}, not in the directory; fetch the rest")
        return files
    if (directory / SINGLE).is_file():
        return [directory / SINGLE]
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        raise ValueError(f"{directory}: {error.strerror}") from None
    # Without an index all files count: a part too many or too few shows in the names of the tensors.
    if files := [directory / name for name in names if name.endswith(".safetensors")]:
        return files
    if any(name.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl")) for name in names):
        raise ValueError(
            f"{directory}: only pickled weights, which can run code and are refused; convert to safetensors"
        )
    raise ValueError(f"{directory}: no safetensors file; fetch {SINGLE} or the files that {INDEX} names")


def _headers(file: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    try:
        file.open("rb").close()  # safetensors says of a file that may not be read that there is none
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None
    try:
        with safe_open(file, "numpy") as opened:
            for name in opened.offset_keys():
                part = opened.get_slice(name)
                dtype = part.get_dtype()
                if not _plain(name):
                    raise ValueError(f"{file}: a tensor is named {short(name)}; refused")
                if dtype not in DTYPES:
                    raise ValueError(f"{file}: {name} is {dtype}; only {', '.join(DTYPES)} are supported")
                found[name] = Tensor(file, tuple(part.get_shape()), DTYPES[dtype])
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file}: damaged or truncated ({error}); fetch it again") from None
    return found


def misfits(
    shapes: Mapping[str, tuple[int, ...]], held: Mapping[str, Any], tolerated: Collection[str] = ()
) -> list[str]:
    """How the tensors of a file differ from those wanted, by name: missing, unexpected, misshapen; empty if not."""
    problems = []
    if missing := sorted(shapes.keys() - held.keys()):
        problems.append(f"missing {_listed(missing)}")
    if unexpected := sorted(held.keys() - shapes.keys() - set(tolerated)):
        problems.append(f"unexpected {_listed(unexpected)}")
    if misshapen := [
        f"{name} {list(held[name].shape)} instead of {list(shape)}"
        for name, shape in shapes.items()
        if name in held and tuple(held[name].shape) != tuple(shape)
    ]:
        problems.append(f"misshapen {_listed(misshapen)}")
    return problems


def _listed(names: Sequence[str], most: int = 30) -> str:
    """All of them, or, where that is no line to read any more, the first."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
