"""What an adapter_config.json says: which modules have a LoRA adapter, of which rank and scale.

The rules are PEFT's own (`check_target_module_exists` and `get_pattern_key` of version 0.21), for names of modules as
the model that the adapter was trained on had them: `model.layers.0.self_attn.q_proj`.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from reprlib import repr as short
from typing import Any

from reeval.hf.names import read_json

CONFIG = "adapter_config.json"

# What PEFT can express and we cannot. It is used where it says anything, but for `bias`, which then says "none".
_UNSUPPORTED = (
    "alora_invocation_tokens",
    "bias",
    "fan_in_fan_out",
    "layer_replication",
    "lora_bias",
    "modules_to_save",
    "target_parameters",
    "trainable_token_indices",
)
# PEFT switches variants of LoRA on by `use_<variant>` or `<variant>_config`, all of them but these: they say how an
# adapter was started or is run. A variant that PEFT will invent is refused too.
_PLAIN = ("use_rslora", "corda_config", "eva_config", "loftq_config", "lora_ga_config", "runtime_config")
# Ways to start an adapter that leave the base's weights as they are; all others take something out of them.
_INNOCENT_STARTS = (True, False, None, "gaussian", "eva", "orthogonal", "mica")

# What PEFT adapts in our families where a config names nothing.
_DEFAULT_TARGETS = ("q_proj", "v_proj")


@dataclasses.dataclass(frozen=True)
class PeftConfig:
    """A plain LoRA adapter.

    Attributes:
        targets: a regex of whole names, or names and ends of names; `excluded` likewise.
        layers: those in which ends of names count, None for all.
        containers: regexes of what holds the layers, for `layers`; any where there is none.
        ranks: a module's own rank by a regex of the end of its name; `alphas` likewise.
    """

    rank: int
    alpha: float
    rslora: bool
    dropout: float
    targets: str | tuple[str, ...]
    excluded: str | tuple[str, ...]
    layers: tuple[int, ...] | None
    containers: tuple[str, ...]
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]

    def adapts(self, module: str) -> bool:
        """Whether PEFT gives this linear layer an adapter."""
        if _matches(self.excluded, module):
            return False
        if isinstance(self.targets, str) and self.targets.lower() == "all-linear":
            return module.rsplit(".", 1)[-1] != "lm_head"
        if self.layers is None or (not isinstance(self.targets, str) and module in self.targets):
            return _matches(self.targets, module)  # where a module is named in full, its layer does not count
        return _matches(self.targets, module) and self._layer(module) in self.layers

    def rank_of(self, module: str) -> int:
        return int(_own(self.ranks, module, self.rank))

    def scale_of(self, module: str) -> float:
        rank, alpha = self.rank_of(module), _own(self.alphas, module, self.alpha)
        return alpha / (math.sqrt(rank) if self.rslora else rank)

    def _layer(self, module: str) -> int | None:
        # The first number counts: an expert's would come later.
        for pattern in [_numbered(name) for name in self.containers] or [r".*?\.[^.]*\.(?P<layer>\d+)\."]:
            if match := re.match(pattern, module):
                return None if match["layer"] is None else int(match["layer"])
        return None


def read(directory: Path) -> PeftConfig:
    """The config of an adapter directory.

    Raises:
        ValueError: one line, if there is none, a field is damaged, or it says what we cannot express.
    """
    file = directory / CONFIG
    if not file.is_file():
        raise ValueError(f"{directory}: no {CONFIG}; give a PEFT adapter directory")
    raw = read_json(file)
    if raw.get("peft_type") != "LORA":
        raise ValueError(f"{file}: peft_type {short(raw.get('peft_type'))} is not supported, only 'LORA'")
    if used := _unsupported(raw):
        raise ValueError(f"{file}: {', '.join(used)} not supported, only plain LoRA is")
    start = raw.get("init_lora_weights")
    if not any(start == innocent for innocent in _INNOCENT_STARTS):
        raise ValueError(
            f"{file}: init_lora_weights {short(start)} not supported, as it changes the base's weights; have PEFT save "
            "it with path_initial_model_for_weight_conversion"
        )
    if problems := [
        f"{name} must be {kind}, not {short(raw.get(name))}"
        for name, (kind, fits) in _FIELDS.items()
        if not fits(raw.get(name))
    ]:
        raise ValueError(f"{file}: {'; '.join(problems)}")
    layers = raw.get("layers_to_transform")
    targets = raw.get("target_modules")
    if layers not in (None, []) and isinstance(targets, str):
        raise ValueError(f"{file}: layers_to_transform needs target_modules to be a list, as in PEFT")
    return PeftConfig(
        rank=raw["r"],
        alpha=float(raw["lora_alpha"]),
        rslora=bool(raw.get("use_rslora")),
        dropout=float(raw.get("lora_dropout") or 0.0),
        targets=_DEFAULT_TARGETS if targets is None else targets if isinstance(targets, str) else tuple(targets),
        excluded=x if isinstance(x := raw.get("exclude_modules") or (), str) else tuple(x),
        layers=None if layers in (None, []) else (layers,) if isinstance(layers, int) else tuple(layers),
        containers=(x,) if isinstance(x := raw.get("layers_pattern") or (), str) else tuple(x),
        ranks=raw.get("rank_pattern") or {},
        alphas=raw.get("alpha_pattern") or {},
    )


def _unsupported(raw: Mapping[str, Any]) -> list[str]:
    variants = [name for name in raw if re.fullmatch(r"use_\w+|\w+_config", name)]
    names = [*_UNSUPPORTED, *sorted(set(variants) - set(_PLAIN))]
    return [name for name in names if raw.get(name) and (name, raw[name]) != ("bias", "none")]


def _matches(patterns: str | tuple[str, ...], module: str) -> bool:
    if isinstance(patterns, str):
        return re.fullmatch(patterns, module) is not None
    return any(module == name or module.endswith(f".{name}") for name in patterns)


def _own(pattern: Mapping[str, float], module: str, default: float) -> float:
    # The first key that matches counts, and a name that no key matches is one itself.
    found = next((key for key in pattern if re.match(_ending(key), module)), module)
    return pattern.get(found, default)


def _ending(key: str) -> str:
    return rf"(.*\.)?({key})$"


def _numbered(container: str) -> str:
    return rf"(?:^|.*?\.){container}\.(?P<layer>\d+)\."


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_index(value: Any) -> bool:
    return type(value) is int


def _is_whole(value: Any) -> bool:
    return _is_index(value) and value > 0


def _is_number(value: Any) -> bool:
    # Neither NaN nor infinite, nor a whole number that no float holds.
    return type(value) in (int, float) and abs(value) < 1e30


def _is_regex(value: Any, within: Callable[[str], str] = str) -> bool:
    try:
        return isinstance(value, str) and re.compile(within(value)) is not None
    except (re.error, OverflowError, RecursionError):
        return False


def _is_container(value: Any) -> bool:
    return _is_regex(value, _numbered)


def _is_list(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(fits, value))


def _is_pattern(value: Any, fits: Callable[[Any], bool]) -> bool:
    if value is None:
        return True
    return isinstance(value, dict) and all(_is_regex(key, _ending) and fits(value[key]) for key in value)


def _are_modules(value: Any) -> bool:
    return value is None or _is_regex(value) or _is_list(value, _is_text)


_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "r": ("a whole number above 0", _is_whole),
    "lora_alpha": ("a number", _is_number),
    "use_rslora": ("true or false", lambda value: value in (None, True, False)),
    "lora_dropout": ("a number in [0, 1)", lambda value: value is None or (_is_number(value) and 0 <= value < 1)),
    "target_modules": ("a list of names or a regular expression", _are_modules),
    "exclude_modules": ("a list of names or a regular expression", _are_modules),
    "layers_to_transform": (
        "a whole number or a list of them",
        lambda value: value is None or _is_index(value) or _is_list(value, _is_index),
    ),
    "layers_pattern": (
        "a regular expression or a list of them",
        lambda value: value is None or _is_container(value) or _is_list(value, _is_container),
    ),
    "rank_pattern": (
        "an object from regular expressions to whole numbers above 0",
        lambda value: _is_pattern(value, _is_whole),
    ),
    "alpha_pattern": (
        "an object from regular expressions to numbers",
        lambda value: _is_pattern(value, _is_number),
    ),
}
