"""What a run's config holds: every field with its type and range, so that a mistake is named before work begins."""

import dataclasses
import difflib
import math
from collections.abc import Collection, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Field:
    """`least` and `most` are included in the range, `above` and `below` are not."""

    kind: type
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    among: tuple[str, ...] = ()

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value, as it goes on after "config.x=y"."""
        if not self._is_of_kind(value):
            return f"must be {_KINDS[self.kind]}"
        if self.among and value not in self.among:
            return f"is not one of {', '.join(self.among)}"
        if self.kind is float and not math.isfinite(value):
            return "must be a finite number"
        if self.kind is list:
            return self._problem_of_stages(value)
        bounds = (
            ("at least", self.least, lambda bound: value >= bound),
            ("above", self.above, lambda bound: value > bound),
            ("at most", self.most, lambda bound: value <= bound),
            ("below", self.below, lambda bound: value < bound),
        )
        given = [(word, bound, holds(bound)) for word, bound, holds in bounds if bound is not None]
        if all(right for _, _, right in given):
            return None
        return "must be " + " and ".join(f"{word} {bound:g}" for word, bound, _ in given)

    def _problem_of_stages(self, stages: Any) -> str | None:
        """Of (until this share of the run, ...) one after the other."""
        numbers = all(len(row) > 1 and all(type(x) in (int, float) for x in row) for row in stages)
        untils = [row[0] for row in stages] if numbers else []
        right = numbers and len({len(row) for row in stages}) == 1 and untils == sorted(set(untils)) and untils[-1] == 1
        return None if right else "must be rows of as many numbers each, whose first rise to 1"

    def _is_of_kind(self, value: Any) -> bool:
        if self.kind is tuple:  # JSON has lists only
            return isinstance(value, tuple | list) and all(type(item) is int for item in value)
        if self.kind is list:
            return isinstance(value, tuple | list) and all(isinstance(row, tuple | list) for row in value)
        return type(value) is self.kind or (self.kind is float and type(value) is int)


_KINDS = {
    bool: "True or False",
    float: "a number",
    int: "a whole number",
    str: "text",
    tuple: "a tuple of whole numbers",
    list: "a tuple of tuples",
}
_COUNT = Field(int, least=1)
OBJECTIVES = ("sft", "dpo")
TUNINGS = ("lora", "full", "from_scratch")
_SHARE = Field(float, least=0, most=1)

# Of fine-tuning a judge that there is.
FIELDS: dict[str, Field] = {
    # What is trained: adapters beside a frozen base, the base's whole decoder, or a model that begins as noise.
    "tuning": Field(str, among=TUNINGS[:2]),
    # What it minimises: the cross-entropy of gold verdicts, or a loss over preferred and rejected ones.
    "objective": Field(str, among=OBJECTIVES),
    "model.path": Field(str),
    "model.dtype": Field(str, among=("float32", "bfloat16", "float16")),
    "model.quantized": Field(str, among=("none", "int8")),
    "prompt": Field(str),
    "mesh": Field(tuple),
    "lora.rank": _COUNT,
    "lora.alpha": Field(float, above=0),
    "lora.rslora": Field(bool),
    "lora.dropout": Field(float, least=0, below=1),
    "lora.targets": Field(str),
    "data.train": Field(str),
    "data.images": Field(bool),
    "data.batching": Field(str, among=("packed", "shared", "grouped")),
    "data.sequence_length": _COUNT,
    "data.two_pass_share": _SHARE,
    "data.severity_weight": Field(float, least=0),
    "train.steps": _COUNT,
    "train.batch_size": _COUNT,
    "train.accumulation": _COUNT,
    "train.learning_rate": Field(float, above=0),
    "train.final_learning_rate": Field(float, least=0),
    "train.warmup_steps": Field(int, least=0),
    "train.weight_decay": Field(float, least=0),
    "train.clip_norm": Field(float, above=0),
    "train.b1": Field(float, least=0, below=1),
    "train.b2": Field(float, least=0, below=1),
    "train.remat": Field(str),
    "train.loss_chunk": _COUNT,
    "train.attention": Field(str),
    "train.log_every": _COUNT,
    "train.checkpoint_every": _COUNT,
    "train.seed": Field(int, least=0, below=2**31),
    "profile.steps": Field(tuple),
    "eval.pairs": Field(str),
    "eval.mesh": Field(tuple),
    "eval.slots": _COUNT,
    "eval.max_prompt_tokens": _COUNT,
    "eval.max_answer_tokens": _COUNT,
    "eval.grammar": Field(bool),
    "eval.base": Field(bool),
    "eval.every": Field(int, least=0),
}

# Of fine-tuning to preferences, after a run that this one starts from.
PREFERENCE: dict[str, Field] = {
    name: field
    for name, field in FIELDS.items()
    if name not in ("data.batching", "data.two_pass_share", "data.severity_weight")
} | {
    "objective": Field(str, among=OBJECTIVES),
    "start": Field(str),
    "data.preferences": Field(str),
    "preference.kind": Field(str, among=("sigmoid", "robust", "ipo")),
    "preference.beta": Field(float, above=0),
    "preference.label_smoothing": Field(float, least=0, below=0.5),
    "preference.length_normalised": Field(bool),
    "preference.sft_weight": Field(float, least=0),
}

# Of training a small judge from noise, on pairs that are made as it goes; see `reeval.from_scratch`.
FROM_SCRATCH: dict[str, Field] = {
    "tuning": Field(str, among=TUNINGS[2:]),
    "prompt": FIELDS["prompt"],
    "mesh": FIELDS["mesh"],
    "model.vocab_size": _COUNT,
    "model.d_model": _COUNT,
    "model.hidden": _COUNT,
    "model.num_layers": Field(int, least=3),  # of which the third is tagged
    "model.num_heads": _COUNT,
    "model.num_kv_heads": _COUNT,
    "model.head_dim": _COUNT,
    "model.rope_theta": Field(float, above=0),
    "model.norm_eps": Field(float, above=0),
    "model.tied": Field(bool),
    "data.rows": _COUNT,
    "data.length": _COUNT,
    "data.curriculum": Field(list),
    "data.scrambled": _SHARE,
    "data.varied": Field(list),
    "data.true_severities": Field(list),
    "data.two_pass_share": _SHARE,
    "data.identical": _SHARE,
    "train.steps": _COUNT,
    "train.muon_rate": Field(float, above=0),
    "train.adam_rate": Field(float, above=0),
    "train.warmup": Field(float, above=0, below=1),
    "train.attention": FIELDS["train.attention"],
    "train.workers": Field(int, least=0),
    "train.log_every": _COUNT,
    "train.checkpoint_every": _COUNT,
    "train.evaluation_pairs": Field(int, least=0),
    "train.seed": FIELDS["train.seed"],
    "profile.steps": FIELDS["profile.steps"],
}


def check(config: Mapping[str, Any], *, tunings: Collection[str] = TUNINGS[:2]) -> None:
    """Make sure that a config has the fields of a run, all of them and no other, each of its type and in its range.

    Args:
        tunings: of which config.tuning has to be one.
    Raises:
        ValueError: naming the first field that is wrong.
    """
    given = _flat(config)
    tuning = given.get("tuning")
    if tuning in TUNINGS and tuning not in tunings:
        raise ValueError(f"config.tuning={tuning!r} is not what this command is for: {' or '.join(tunings)}")
    fields = FROM_SCRATCH if tuning == "from_scratch" else PREFERENCE if given.get("objective") == "dpo" else FIELDS
    for name in given:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            raise ValueError(f"config has an unknown field {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    for name, field in fields.items():
        if name not in given:
            raise ValueError(f"config.{name} is missing")
        problem = field.problem(given[name])
        if problem:
            raise ValueError(f"config.{name}={given[name]!r} {problem}")
    if tuning == "full" and (given["model.dtype"], given["model.quantized"]) != ("float32", "none"):
        raise ValueError(
            "config.tuning='full' changes weights by less than another type can tell apart; set "
            "config.model.dtype='float32' and config.model.quantized='none'"
        )


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) or hasattr(value, "items"):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
