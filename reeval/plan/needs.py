"""What a program needs of each chip: memory by compilation, operations and bytes by counting, time by a roofline."""

import dataclasses
import re
import time
from typing import Any

import jax

from reeval.chips import Chip
from reeval.decode.memory import bytes_held
from reeval.plan.flops import flops
from reeval.plan.hlo import traffic
from reeval.plan.programs import Program

_USED = re.compile(r"(?:Used|total memory required for HLO temporaries \()\s*([\d.]+)([KMGT]?)", re.IGNORECASE)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True)
class Needs:
    """Of one chip; bytes and seconds. What does not fit has its peak alone, 0 if that is not known.

    Attributes:
        free: of the chip's memory, negative where it does not suffice.
        flops: of one run, an equal share of the program's.
        recomputation: the program's operations over those that it would need without recomputation.
        memory_bytes: read and written in HBM in one run; an estimate, see `reeval.plan.hlo`.
        sent, sent_across: bytes by kind of collective, to chips of its slice and of others.
        times: of one run, at the best, by what binds.
        tokens: of one run, of all chips.
    """

    name: str
    what: str
    mesh: tuple[int, ...]
    fits: bool
    peak: float
    free: float
    arguments: float = 0.0
    temporaries: float = 0.0
    flops: float = 0.0
    recomputation: float | None = None
    memory_bytes: float = 0.0
    sent: dict[str, float] = dataclasses.field(default_factory=dict)
    sent_across: dict[str, float] = dataclasses.field(default_factory=dict)
    times: dict[str, float] = dataclasses.field(default_factory=dict)
    tokens: int = 0
    compile_seconds: float = 0.0

    @property
    def binds(self) -> str:
        return max(self.times, key=lambda name: self.times[name])

    @property
    def seconds(self) -> float:
        return self.times[self.binds]


def needs_of(program: Program, chip: Chip, slices: int = 1) -> Needs:
    """Compile a program and count.

    Raises:
        ValueError: if it cannot be compiled for another reason than memory.
    """
    chips, shape = program.mesh.size, tuple(program.mesh.shape.values())
    began = time.monotonic()
    try:
        compiled = program.traced.lower().compile()
    except jax.errors.JaxRuntimeError as error:
        return _too_large(program, chip, str(error))
    seconds = time.monotonic() - began
    memory = compiled.memory_analysis()
    # The place of what is donated is taken by what is made of it.
    made = memory.output_size_in_bytes - memory.alias_size_in_bytes
    arguments = memory.argument_size_in_bytes + program.held
    peak = arguments + memory.temp_size_in_bytes + made
    moved = traffic(compiled.as_text(), chips // slices if slices > 1 else None)
    total = flops(program.traced.jaxpr)
    sent, across = (sum(counter.values()) for counter in (moved.inside, moved.across))
    times = {
        "compute": total / chips / chip.flops,
        "HBM": moved.memory / chip.hbm_rate,
        "interconnect": sent / chip.ici_rate,
    }
    if slices > 1:
        times["network between slices"] = across / chip.dcn_rate
    return Needs(
        program.name,
        program.what,
        shape,
        peak <= chip.hbm,
        peak,
        chip.hbm - peak,
        arguments,
        memory.temp_size_in_bytes,
        total / chips,
        program.least_flops and total / program.least_flops,
        moved.memory,
        {kind: size for kind, size in moved.inside.items() if size},
        {kind: size for kind, size in moved.across.items() if size},
        times,
        program.tokens,
        seconds,
    )


def _too_large(program: Program, chip: Chip, said: str) -> Needs:
    if "RESOURCE_EXHAUSTED" not in said and "Ran out of memory" not in said:
        first: Any = said.strip().splitlines()[0]
        raise ValueError(f"the {program.name} cannot be compiled: {first}")
    found = _USED.search(said)
    needed = 0.0
    if found:
        needed = float(found[1]) * _UNITS[found[2].upper()] + program.held
        if "temporaries" in found[0]:  # which are said without the arguments
            needed += bytes_held(program.arguments)
    return Needs(program.name, program.what, tuple(program.mesh.shape.values()), False, needed, chip.hbm - needed)
