"""The fields of a config.json, read with all that is wrong with them remembered, so that it is said at once."""

from collections.abc import Mapping
from reprlib import repr as short
from typing import Any

# No model's; a larger number is a damaged file, which must not be tried out in memory.
_LARGEST, _MOST_LAYERS = 2**24, 1024


class Fields:
    """One object of a config.json; what its methods give where something is wrong is not to be used."""

    def __init__(self, raw: Mapping[str, Any], within: str = "", problems: list[str] | None = None):
        self.raw, self.within = raw, within
        self.problems: list[str] = [] if problems is None else problems

    def within_object(self, name: str) -> "Fields":
        """The fields of the object `name`, which may be absent; what is wrong with them counts here too."""
        value = self.raw.get(name)
        if not isinstance(value, Mapping | None):
            self.problems.append(f"{self.within}{name} is no object: {short(value)}")
        raw = value if isinstance(value, Mapping) else {}
        return Fields(raw, f"{self.within}{name}.", self.problems)

    def size(self, name: str, default: int | None = None, *, most: int = _LARGEST) -> int:
        """A whole number above 0."""
        if name not in self.raw and default is None:
            self.problems.append(f"{self.within}{name} is missing")
            return 1
        value = self.raw.get(name, default)
        if type(value) is not int or value < 1:
            self.problems.append(f"{self.within}{name} is no whole number above 0: {short(value)}")
        elif value > most:
            self.problems.append(f"{self.within}{name} is larger than any model's: {short(value)}")
        else:
            return value
        return 1

    def sizes(self, names: Mapping[str, str], defaults: Mapping[str, int]) -> dict[str, int]:
        """Several sizes, from the file's names to ours; those without a default must be there."""
        return {
            ours: self.size(name, defaults.get(name), most=_MOST_LAYERS if name == "num_hidden_layers" else _LARGEST)
            for name, ours in names.items()
        }

    def number(self, name: str, default: float) -> float:
        """A number above 0."""
        value = self.raw.get(name, default)
        if type(value) not in (int, float) or not 0 < value < float("inf"):
            self.problems.append(f"{self.within}{name} is no number above 0: {short(value)}")
            return 1.0
        return float(value)

    def refuse(self, unsupported: Any, problem: str) -> None:
        """Add a problem if something unsupported is asked for."""
        if unsupported:
            self.problems.append(self.within + problem)

    def check(self) -> None:
        """Raise a ValueError that names all problems, if there are any."""
        if self.problems:
            raise ValueError("; ".join(self.problems))
