"""What a compiled program moves, read from the text that XLA gives of it: a device's collectives, and its memory.

A body that a loop runs a known number of times counts so often; one whose end depends on data counts once.
"""

import dataclasses
import math
import re
from collections import Counter

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
_KINDS_OVER_HOSTS = {"ONE_TO_ONE": "collective-permute"}
_BITS = {"pred": 8, "bf16": 16, "c64": 64, "c128": 128}
_ARRAY = re.compile(r"\b(pred|bf16|[sufc]\d+(?:e\w+)?)\[([\d,]*)\](\{[^}]*\})?")
_HEAD = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\{\s*$")
_LINE = re.compile(r"^\s+(ROOT )?%?([\w.-]+) = (.*)$")
_CALLED = re.compile(r"\b(calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_GROUP = re.compile(r"replica_groups=(?:\{\{([\d,]+)\}|\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?)")
_MESH = re.compile(r"replica_groups=@?mesh\[([^\]]*)\] ?\{([^}]*)\}")
_CHANNEL = re.compile(r"channel_id=(\d+)")
_PAIR = re.compile(r"source_target_pairs=\{\{(\d+),(\d+)\}")
# Between slices TPUs send through their hosts: of which kind, and the slices and devices that take part.
_OVER_HOSTS = re.compile(r'_xla_megascale_target="\{([\d,:]+)\}.*_xla_megascale_transfer_type="(\w+)"')
# They name or wait for what is there, or only hold others.
_FREE = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call", "after-all",
    "partition-id", "replica-id", "iota", "opt-barrier", "broadcast", "async-update",
}  # fmt: skip
# GPUs begin some early, beside other work.
_FUSIONS = ("fusion", "fusion-start")


@dataclasses.dataclass
class Instruction:
    """One line: its name, the text of its type, its operation, the names of its operands, and the whole line."""

    name: str
    type: str
    operation: str
    operands: list[str]
    text: str
    root: bool


@dataclasses.dataclass
class Traffic:
    """Bytes of one device.

    Attributes:
        inside, across: that it sends, by kind of collective: to devices of its own slice, and in collectives that
            span slices. A collective over n devices sends (n-1)/n of the gathered or scattered array, an all-reduce
            twice that, and a permutation all.
        memory: read and written, of each instruction that is not fused into another, where the array lies in HBM.
    """

    inside: Counter[str]
    across: Counter[str]
    memory: float = 0


def traffic(text: str, slice_size: int | None = None) -> Traffic:
    """Of a compiled program.

    Args:
        text: `compiled.as_text()`.
        slice_size: devices of a slice, whose numbers follow each other; None if there is one slice.
    """
    computations, entry = parse(text)
    found = Traffic(Counter(), Counter())
    alone, fused = _often(computations, entry)
    for name, times in alone.items():
        lines = {line.name: line for line in computations[name]}
        found.memory += sum(
            times * _touched(line, lines, computations)
            for line in lines.values()
            if line.operation not in _FREE and not line.operation.endswith("-done")
        )
    halves = set()
    for name, times in [*alone.items(), *fused.items()]:
        lines = {line.name: line for line in computations[name]}
        for line in lines.values():
            if line.operation == "send" and (over := _OVER_HOSTS.search(line.text)):
                between = _KINDS_OVER_HOSTS.get(over[2], over[2].lower().replace("_", "-"))
                found.across[between] += round(times * _sent(between, line, lines, _count(over[1])))
                continue
            kind = next((k for k in KINDS if line.operation in (k, f"{k}-start")), None)
            channel = _CHANNEL.search(line.text)
            if kind is None or (name in fused and channel and channel[1] in halves):
                continue
            if name in fused and channel:  # the beginning and the end of one collective are fused with other work
                halves.add(channel[1])
                found.memory += times * _touched(line, lines, computations)
            group = group_of(line.text)
            spans = slice_size is not None and len({member // slice_size for member in group}) > 1
            (found.across if spans else found.inside)[kind] += round(times * _sent(kind, line, lines, len(group)))
    return found


def parse(text: str) -> tuple[dict[str, list[Instruction]], str]:
    """The computations by name, and the name of the one that is run."""
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if head := _HEAD.match(line):
            current = computations.setdefault(head[2], [])
            entry = head[2] if head[1] else entry
        elif current is not None and (match := _LINE.match(line)):
            kind, rest = _type_and_rest(match[3])
            operation, _, arguments = rest.partition("(")
            operands = re.findall(r"%([\w.-]+)", arguments[: _closing(arguments)])
            current.append(Instruction(match[2], kind, operation.strip(), operands, match[3], bool(match[1])))
    return computations, entry


def array_bytes(kind: str, *, hbm: bool = False) -> list[float]:
    """The sizes of the arrays of a type; with `hbm`, 0 for those that lie in another memory of the device."""
    sizes = []
    for dtype, shape, layout in _ARRAY.findall(kind):
        bits = _BITS.get(dtype) or int(re.sub(r"e.*|\D", "", dtype) or 8)
        elsewhere = hbm and re.search(r"S\([1-9]", layout) is not None
        sizes.append(0.0 if elsewhere else math.prod(int(n) for n in shape.split(",") if n) * bits / 8)
    return sizes


def _type_and_rest(text: str) -> tuple[str, str]:
    end = _closing(text[1:]) + 2 if text.startswith("(") else text.find(" ")
    return text[:end], text[end:].strip()


def _closing(text: str) -> int:
    """Where the parenthesis closes that opened before `text`."""
    depth = 1
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return at
    return len(text)


def _often(computations: dict[str, list[Instruction]], entry: str) -> tuple[Counter[str], Counter[str]]:
    """How often each computation runs, by itself and fused into an instruction."""
    alone: Counter[str] = Counter()
    fused: Counter[str] = Counter()

    def run(name: str, times: int, counter: Counter[str]) -> None:
        counter[name] += times
        for line in computations.get(name, []):
            called = [other for _, other in _CALLED.findall(line.text)]
            if line.operation == "while":
                trips = _TRIPS.search(line.text)
                for other in called:
                    run(other, times * _trips(computations, line, int(trips[1]) if trips else None), counter)
            elif line.operation == "conditional":
                called += [n.strip(" %") for found in _BRANCHES.findall(line.text) for n in found.split(",")]
                for other in called:
                    run(other, times, counter)
            elif line.operation in ("call", "async-start"):
                for other in called:
                    run(other, times, counter)
            elif line.operation in _FUSIONS:
                for other in called:
                    run(other, times, fused)

    run(entry, 1, alone)
    return alone, fused


def _trips(computations: dict[str, list[Instruction]], line: Instruction, known: int | None) -> int:
    """How often a loop runs: what XLA says, else the one constant that its condition compares with, else 1."""
    if known is not None:
        return known
    condition = dict(_CALLED.findall(line.text)).get("condition", "")
    lines = computations.get(condition, [])
    compared = [each for each in lines if each.operation in ("compare", "fusion") and "pred[]" in each.type]
    constants = {
        each.name: int(value[1])
        for each in lines
        if (value := re.search(r"constant\((\d+)\)", each.text)) and each.operation == "constant"
    }
    # A condition that looks at more than a counter depends on data.
    if (
        len(compared) == 1
        and len(constants) == 1
        and len([e for e in lines if e.operation == "get-tuple-element"]) == 1
    ):
        return next(iter(constants.values()))
    return 1


def group_of(text: str) -> list[int]:
    """The devices of the first group of a collective; of a permutation, a pair."""
    if pair := _PAIR.search(text):
        return [int(pair[1]), int(pair[2])]
    if named := _MESH.search(text):
        sizes = {name: int(size) for name, size in re.findall(r"'([^']+)'=(\d+)", named[1])}
        names = list(sizes)
        strides = {name: math.prod(sizes[other] for other in names[at + 1 :]) for at, name in enumerate(names)}
        axes = []
        for name, before, size in re.findall(r"'([^']+)'(?::\((\d+)\)(\d+))?", named[2]):
            # 'x':(2)4 is the part of 4 of an axis after one of 2.
            count = int(size or sizes[name])
            axes.append((count, strides[name] * sizes[name] // (int(before or 1) * count)))
        return [_at(index, axes) for index in range(math.prod(count for count, _ in axes))]
    found = _GROUP.search(text)
    if not found:
        return [0]
    if found[1]:
        return [int(n) for n in found[1].split(",")]
    shape, dims = ([int(n) for n in found[i].split(",")] for i in (2, 3))
    order = [int(n) for n in found[4].split(",")] if found[4] else range(len(dims))
    strides_of = [math.prod(dims[axis + 1 :]) for axis in range(len(dims))]
    return [_at(index, [(dims[axis], strides_of[axis]) for axis in order]) for index in range(shape[-1])]


def _count(numbers: str) -> int:
    """How many there are of "1,2" or "1:2", whose ends are included."""
    ends = [[int(n) for n in part.split(":")] for part in numbers.split(",")]
    return sum(each[-1] - each[0] + 1 for each in ends)


def _at(index: int, axes: list[tuple[int, int]]) -> int:
    number = 0
    for size, stride in reversed(axes):
        index, step = divmod(index, size)
        number += step * stride
    return number


def _sent(kind: str, line: Instruction, lines: dict[str, Instruction], devices: int) -> float:
    taken = sum(sum(array_bytes(lines[name].type)) for name in line.operands if name in lines)
    share = (devices - 1) / devices
    if kind == "all-gather":
        return taken * (devices - 1)
    return taken * {"all-reduce": 2 * share, "collective-permute": 1.0}.get(kind, share)


def _touched(line: Instruction, lines: dict[str, Instruction], computations: dict[str, list[Instruction]]) -> float:
    """Bytes of HBM that an instruction reads and writes."""
    if line.operation == "dynamic-update-slice" and line.operands[1] in lines:
        return 2 * sum(array_bytes(lines[line.operands[1]].type, hbm=True))
    written = sum(array_bytes(line.type, hbm=True))
    if line.operation in ("dynamic-slice", "gather", "slice"):
        return 2 * written
    if line.operation == "slice-start":
        return array_bytes(line.type)[1]
    if line.operation.endswith("-start") and line.operation not in _FUSIONS:
        # Its type names what it takes beside what it gives.
        sources = [lines[name].type for name in line.operands if name in lines]
        return max(written, sum(sum(array_bytes(each, hbm=True)) for each in sources))
    inner = computations.get(_fused(line), [])
    by_name = {each.name: each for each in inner}
    for root in inner:
        if root.root:
            made = root.operands if root.operation == "tuple" else [root.name]
            written = sum(_made(by_name[name], by_name) for name in made if name in by_name)
    parameters = _parameters(inner)
    read = 0.0
    for number, name in enumerate(line.operands):
        size = sum(array_bytes(lines[name].type, hbm=True)) if name in lines else 0.0
        if size and number in parameters:
            size = min(size, _used(parameters[number], size, inner, computations))
        read += size
    return written + read


def _fused(line: Instruction) -> str:
    return dict(_CALLED.findall(line.text)).get("calls", "") if line.operation in _FUSIONS else ""


def _parameters(inner: list[Instruction]) -> dict[int, str]:
    """The names of a computation's parameters by their numbers."""
    return {int(found[1]): each.name for each in inner if (found := re.search(r"\bparameter\((\d+)\)", each.text))}


def _made(line: Instruction, lines: dict[str, Instruction]) -> float:
    """What is written of a fusion's result: nothing where a parameter is handed on, of an update only what is new."""
    if line.operation == "parameter" or line.operation in KINDS:  # a collective counts by itself
        return 0.0
    if line.operation == "bitcast" and line.operands[0] in lines:
        return _made(lines[line.operands[0]], lines)
    if line.operation == "dynamic-update-slice" and line.operands[1] in lines:
        return sum(array_bytes(lines[line.operands[1]].type))
    return sum(array_bytes(line.type, hbm=True))


def _used(name: str, size: float, inner: list[Instruction], computations: dict[str, list[Instruction]]) -> float:
    """What a fusion reads of an operand of `size` bytes: of one that is sliced, the slices; nothing if handed on."""
    total = 0.0
    for line in inner:
        if name not in line.operands or line.operation in ("tuple", *KINDS):
            continue
        if line.operation == "bitcast":
            total += _used(line.name, size, inner, computations)
        elif line.operation in ("dynamic-slice", "gather", "slice") and line.operands[0] == name:
            total += sum(array_bytes(line.type))
        elif line.operation in _FUSIONS:
            nested = computations.get(_fused(line), [])
            total += _used(_parameters(nested)[line.operands.index(name)], size, nested, computations)
        elif line.operation != "dynamic-update-slice" or line.operands[0] != name:
            return size
    return total
