"""One row of a model's name table: a tensor's name and axes here and in a Hugging Face file.

A layout is written once and used in both directions: `(NH)D->DNH` says that the file holds [N*H, D] and we
hold [D, N, H]. Parentheses group axes that the file has flattened into one. Stacked layers are one array
here, with a leading layer axis that the layout leaves out, and a tensor for each layer in the file.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Entry:
    """A parameter of ours and the tensor, or the tensors of all layers, that hold it.

    Attributes:
        path: of our parameter, dotted: `layers.attn.q.w`.
        name: of the file's tensor; `{layer}` stands for the number of the layer.
        layout: from the file's axes to ours, see above.
    """

    path: str
    name: str
    layout: str

    @property
    def stacked(self) -> bool:
        return "{layer}" in self.name

    @property
    def groups(self) -> tuple[str, ...]:
        """The letters of each axis in the file."""
        return tuple(group.strip("()") for group in re.findall(r"\(\w+\)|\w", self.layout.split("->")[0]))

    @property
    def letters(self) -> str:
        """Our axes, but for the layers."""
        return self.layout.split("->")[1]

    @property
    def module(self) -> str:
        """The module that holds the weight, named within its layer: `self_attn.q_proj`, `lm_head`."""
        return self.name.split("{layer}.")[-1].rsplit(".", 1)[0]

    def names(self, shape: Sequence[int]) -> list[str]:
        """The file's tensors, in the order of the layers, of a parameter of this shape."""
        return [self.name.format(layer=n) for n in range(shape[0])] if self.stacked else [self.name]

    def file_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of each of them."""
        size = self._sizes(shape)
        return tuple(math.prod(size[letter] for letter in group) for group in self.groups)

    def to_file(self, array: np.ndarray) -> np.ndarray:
        """One layer's array, in our axes, as the file has it."""
        file_letters = "".join(self.groups)
        size = dict(zip(self.letters, array.shape, strict=True))
        flat = array.transpose([self.letters.index(letter) for letter in file_letters])
        return flat.reshape([math.prod(size[letter] for letter in group) for group in self.groups])

    def from_file(self, tensor: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """The reverse, as a view; `shape` is one layer's, in our axes."""
        size = dict(zip(self.letters, shape, strict=True))
        file_letters = "".join(self.groups)
        split = tensor.reshape([size[letter] for letter in file_letters])
        return split.transpose([file_letters.index(letter) for letter in self.letters])

    def read_part(
        self, read: Callable[[tuple[slice, ...]], np.ndarray], index: Sequence[slice], shape: Sequence[int]
    ) -> np.ndarray:
        """A part of one layer of ours, reading no more of the file than its axes allow.

        Args:
            read: gives the part of the file's tensor that the slices leave.
            index: a slice for each of our axes, in steps of 1.
            shape: the whole of one layer, in our axes.
        """
        size = dict(zip(self.letters, shape, strict=True))
        part = {letter: s.indices(size[letter])[:2] for letter, s in zip(self.letters, index, strict=True)}
        slices: list[slice] = []
        rest = dict.fromkeys(self.letters, slice(None))
        for group in self.groups:
            leading, inner = group[0], group[1:]
            # A flattened axis is read in one run, so only its leading letter can be cut in the file.
            run = math.prod(size[letter] for letter in inner)
            start, stop = part[leading]
            slices.append(slice(start * run, stop * run))
            size[leading] = stop - start
            rest.update({letter: slice(*part[letter]) for letter in inner})
        got = self.from_file(read(tuple(slices)), [size[letter] for letter in self.letters])
        return got[tuple(rest[letter] for letter in self.letters)]

    def _sizes(self, shape: Sequence[int]) -> dict[str, int]:
        return dict(zip(self.letters, shape[1:] if self.stacked else shape, strict=True))


def spelled(table: Iterable[Entry], spellings: Sequence[tuple[str, ...]], present: Iterable[str]) -> tuple[Entry, ...]:
    """The table with its names as a file spells them; those of the table where the file has none of them.

    Args:
        spellings: groups of prefixes that mean the same, the longer before its own beginning; a name belongs to the
            first group that has its prefix.
        present: the file's names, of tensors or of modules.
    """
    entries, names = list(table), list(present)

    def found(prefix: str, rests: Iterable[str]) -> int:
        return sum(any(name.startswith(prefix + rest.split("{layer}")[0]) for name in names) for rest in rests)

    renamed: dict[str, str] = {}
    for group in spellings:
        rests = {}
        for entry in entries:
            own = next((prefix for prefix in group if entry.name.startswith(prefix)), None)
            if own is not None and entry.name not in renamed:
                rests[entry.name] = (own, entry.name.removeprefix(own))
        for own in {own for own, _ in rests.values()}:
            mine = {name: rest for name, (prefix, rest) in rests.items() if prefix == own}
            # Stems without `.weight`, so that they are found among names of modules too.
            stems = [rest.removesuffix(".weight") for rest in mine.values()]
            best = max((own, *group), key=lambda prefix: found(prefix, stems))
            renamed |= {name: best + rest for name, rest in mine.items()}
    return tuple(dataclasses.replace(entry, name=renamed.get(entry.name, entry.name)) for entry in entries)
