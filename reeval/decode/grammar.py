"""The grammar of verdicts as tables for the device: which tokens may follow, and how far it is to the end.

Shape letters: S states, C classes of tokens, V the model's vocabulary, L lines; T states of one line of a second turn.
"""

import dataclasses
import hashlib
import importlib.metadata
import os
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reeval import verdicts
from reeval.decode.automaton import END, NOWHERE, Automaton, Table, build, tabulate
from reeval.decode.vocabulary import rewritten, token_bytes
from reeval.prompts import MODES

_VERSION = 2  # of these tables
_FAR = np.iinfo(np.int32).max // 2


@dataclasses.dataclass(frozen=True, eq=False)
class Grammar:
    """Which tokens may follow.

    A token is allowed where `next_SC` of its class is a state whose distance is at most the tokens that are then left.
    From a start at most as far away as there are tokens, there is always one: of the tokens that lead from a state,
    one leads a step nearer to the end.

    Attributes:
        class_V: [V] int32, the class of each token. Tokens without a text are of a class that is never allowed.
        next_SC: [S, C] int32, the state after a token of the class, -1 where it is not allowed.
        distance_S: [S] int32, tokens at least to the end of the answer, the end token counted; 0 once it is made.
        decides_SC: [S, C] int8, 1 where a token of the class is the first to take a byte of `significant`, 2 of
            `insignificant`, else 0.
        first: the state that the first turn starts in.
        second_L: [L + 1] int32, the state that a second turn of n lines starts in; entry 0 is unused. Empty where turns
            have no lines to count: in one pass, and in free decoding, where each turn starts in `first`.
    """

    class_V: np.ndarray
    next_SC: np.ndarray
    distance_S: np.ndarray
    decides_SC: np.ndarray
    first: int
    second_L: np.ndarray


def free(vocab_size: int, end: int) -> Grammar:
    """Everything is allowed at any time; nothing is steered and nothing decided."""
    class_V = np.zeros(vocab_size, np.int32)
    class_V[end] = 1
    state = np.array([[0, 1], [NOWHERE, NOWHERE]], np.int32)
    return Grammar(class_V, state, np.zeros(2, np.int32), np.zeros((2, 2), np.int8), 0, np.zeros(0, np.int32))


def compile_grammar(
    tokenizer: Any, vocab_size: int, end: int, mode: str, *, max_answer_tokens: int, cache: Path | None = None
) -> Grammar:
    """The grammar of a mode's verdicts over a tokenizer's vocabulary.

    Args:
        tokenizer: a fast tokenizer of transformers.
        vocab_size: of the model.
        end: the token that ends an answer.
        max_answer_tokens: of one turn, the end token not counted. It bounds the lines of a second turn.
        cache: a directory that keeps tables; by default $REEVAL_CACHE, or `reeval` in the user's cache.
    Raises:
        ValueError: if the vocabulary cannot spell a verdict within the tokens of an answer, or the tokenizer is of no
            kind that is known.
    """
    assert mode in MODES
    words = [None if word is None or END in word else word for word in token_bytes(tokenizer, vocab_size)]
    if end >= vocab_size:
        raise ValueError(f"the tokenizer ends answers with token {end}, and the model has {vocab_size}; take its own")
    words[end] = END
    # What the decoder would rewrite in a span might be the format's, so that spans do without.
    plain = rf"{verdicts.PLAIN[:-1]}\x00{rewritten(tokenizer)}]"
    line = (verdicts.LINE if mode == "one_pass" else verdicts.SPANS).pattern.replace(verdicts.PLAIN, plain)
    # Of a tokenizer that puts a space before each text, an answer may begin with one, too.
    said = tokenizer(verdicts.NONE, add_special_tokens=False)["input_ids"]
    space = " ?" if said and (words[said[0]] or b"").startswith(b" ") else ""
    patterns = [rf"{space}(?:{verdicts.NONE}|{line}(?:\n{line})*)"]
    if mode == "two_pass":
        patterns.append(rf"{space}(?:{verdicts.SEVERITY.pattern}\n)*{verdicts.SEVERITY.pattern}")
    determined_by = (
        _VERSION,
        verdicts.FORMAT_VERSION,
        importlib.metadata.version("outlines_core"),
        mode,
        patterns,
        max_answer_tokens,
        words,
    )
    name = f"grammar-{hashlib.sha256(repr(determined_by).encode()).hexdigest()[:32]}.npz"
    directory = cache or _default_cache()
    found = directory and _read(directory / name)
    if not found:
        found = _compile(words, patterns, max_answer_tokens)
        if directory:
            _write(directory / name, found)
    return found


def _compile(words: Sequence[bytes | None], patterns: Sequence[str], max_answer_tokens: int) -> Grammar:
    """Of the pattern of the first turn, and of a second turn of any number of lines if there is one."""
    automata = [
        build(words, pattern, deciding=deciding)
        for pattern, deciding in zip(patterns, [len(patterns) == 1, True], strict=False)
    ]
    class_V, tables = tabulate(automata, len(words))
    first, table = automata[0], tables[0]
    next_SC, decides_SC, finals, second = table.next_SC, table.decides_SC, [first.final], []
    if len(automata) == 2:
        lines = _most_lines(first, table, max_answer_tokens)
        # From state s, n lines left, the block of n has the number `begins[n - 1] + s`.
        T = automata[1].size
        begins = first.size + T * np.arange(lines)
        next_SC = np.concatenate([next_SC, *_counted(tables[1], begins)])
        decides_SC = np.concatenate([decides_SC, np.tile(tables[1].decides_SC, (lines, 1))])
        finals.append(begins[0] + automata[1].final)  # ended with lines left, a turn is at no end
        second = [0, *(begins + automata[1].start)]
    distance_S = _distances(next_SC, finals)
    for n, start in enumerate([first.start, *second[1:]]):
        if distance_S[start] > max_answer_tokens + 1:
            if n or distance_S[start] == _FAR:
                what = f"a second turn of {n} lines" if n else "a verdict"
                raise ValueError(
                    f"the tokenizer's vocabulary cannot spell {what} in time; take another or decode freely"
                )
            raise ValueError(
                f"a verdict takes {distance_S[start]} tokens at least, its end counted, and an answer has "
                f"max_answer_tokens={max_answer_tokens} and its end; raise it"
            )
    # Ways that lead to no end are none.
    next_SC[(next_SC >= 0) & (distance_S[next_SC] == _FAR)] = NOWHERE
    return Grammar(class_V, next_SC, distance_S, decides_SC.astype(np.int8), first.start, np.array(second, np.int32))


def _counted(table: Table, begins: np.ndarray) -> list[np.ndarray]:
    """`next_SC` of a turn of so many lines, by the lines left; a line break leads to where one is less."""
    parts = []
    for lines in range(1, len(begins) + 1):
        left_TC = lines - table.breaks_SC
        legal_TC = (table.next_SC >= 0) & (left_TC >= 1)
        parts.append(np.where(legal_TC, begins[np.maximum(left_TC, 1) - 1] + table.next_SC, NOWHERE).astype(np.int32))
    return parts


def _distances(next_SC: np.ndarray, finals: Sequence[int]) -> np.ndarray:
    """[S] int32, tokens at least from each state to a final one; `_FAR` where there is no way."""
    before: dict[int, set[int]] = defaultdict(set)
    here, kind = np.nonzero(next_SC >= 0)
    for state, after in set(zip(here.tolist(), next_SC[here, kind].tolist(), strict=True)):
        before[after].add(state)
    distance_S = np.full(len(next_SC), _FAR, np.int32)
    reached, distance = set(finals), 0
    while reached:
        distance_S[list(reached)] = distance
        distance += 1
        reached = {state for after in reached for state in before[after] if distance_S[state] == _FAR}
    return distance_S


def _most_lines(automaton: Automaton, table: Table, max_answer_tokens: int) -> int:
    """The most lines that an answer of so many tokens can have.

    Of all ways of so many tokens, the end within reach, the most line breaks: no answer has more lines than that.
    """
    distance_S = _distances(table.next_SC, [automaton.final])
    here, kind = np.nonzero(table.next_SC >= 0)
    edges = np.stack([here, table.next_SC[here, kind], table.breaks_SC[here, kind]])
    here, after, added = np.unique(edges, axis=1)
    breaks_S = np.full(automaton.size, -1)  # the most on a way to each state; -1 where there is none
    breaks_S[automaton.start] = 0
    most = 0
    for made in range(1, max_answer_tokens + 1):
        reached = np.where(breaks_S[here] >= 0, breaks_S[here] + added, -1)
        breaks_S = np.full(automaton.size, -1)
        np.maximum.at(breaks_S, after, reached)
        most = max(most, breaks_S[distance_S <= max_answer_tokens + 1 - made].max(initial=0))
    return int(most) + 1


def _default_cache() -> Path | None:
    if given := os.environ.get("REEVAL_CACHE"):
        return Path(given)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reeval"
    except RuntimeError:  # nobody's home
        return None


_FIELDS = tuple(field.name for field in dataclasses.fields(Grammar))


def _read(path: Path) -> Grammar | None:
    """Kept tables; None where there are none, or damaged ones."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in _FIELDS}
        return Grammar(**{**arrays, "first": int(arrays["first"])})
    except Exception:  # whatever a damaged file does to its reader
        return None


def _write(path: Path, grammar: Grammar) -> None:
    """Keep tables for the next run, which can do without."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                np.savez_compressed(file, **{name: getattr(grammar, name) for name in _FIELDS})
                file.close()
                os.replace(file.name, path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError:
        return
