"""The grammar of verdicts as tables for the device: which tokens may follow, and how far it is to the end.

outlines-core makes the automaton of the format over a vocabulary. Of its tokens few classes differ, so that the tables
are states x classes. Shape letters: S states, C classes of tokens, V the model's vocabulary, L lines.
"""

import dataclasses
import hashlib
import importlib.metadata
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import outlines_core

from reeval import verdicts
from reeval.decode.vocabulary import rewrites_decoded_text, token_bytes
from reeval.taxonomy import ASPECTS, SEVERITIES, TYPES

_VERSION = 1  # of these tables
_NOWHERE = -1
_END = b"\x00"
_FAR = np.iinfo(np.int32).max // 2
_SEVERITY = f"(?:{'|'.join(SEVERITIES)})"

# Of one automaton: state -> token (or 256 single bytes behind the vocabulary) -> state.
_Transitions = Mapping[int, Mapping[int, int]]


@dataclasses.dataclass(frozen=True, eq=False)
class Grammar:
    """Which tokens may follow.

    A token is allowed where `next_SC` of its class is a state whose distance is at most the tokens that are then left.

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
    state = np.array([[0, 1], [_NOWHERE, _NOWHERE]], np.int32)
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
        ValueError: if the vocabulary cannot spell a verdict within the tokens of an answer.
    """
    # The end token is spelled by a byte that no text has, so that only an ended answer is accepted: outlines-core goes
    # on from no accepting state.
    words = [None if word is None or _END in word else word for word in token_bytes(tokenizer, vocab_size)]
    words[end] = _END
    # A tokenizer that rewrites what follows "| " or "=> " would do it at the end of a span, too.
    span = _span(r'[^"\\\n\r\x00|>]' if rewrites_decoded_text(tokenizer) else r'[^"\\\n\r\x00]')
    key = hashlib.sha256(
        repr((_VERSION, verdicts.FORMAT_VERSION, importlib.metadata.version("outlines_core"), mode, span)).encode()
        + repr((max_answer_tokens, words)).encode()
    ).hexdigest()
    path = (cache or _default_cache()) / f"grammar-{key[:32]}.npz"
    found = _read(path)
    if found is None:
        found = _compile(words, mode, span, max_answer_tokens)
        _write(path, found)
    return found


def _span(character: str) -> str:
    return rf'"(?:{character}|\\["\\nr])*"'


def _compile(words: Sequence[bytes | None], mode: str, span: str, max_answer_tokens: int) -> Grammar:
    line = rf"(?:{'|'.join(TYPES)}) \| (?:{'|'.join(ASPECTS)}) \| {span} => {span}"
    if mode == "one_pass":
        line += rf" \| {_SEVERITY}"
    tables = _Tables(len(words))
    first = tables.add(_Automaton(words, rf"{verdicts.NONE}|{line}(?:\n{line})*"), deciding=mode == "one_pass")
    grammar = tables.grammar(first, [])
    left = max_answer_tokens + 1
    if grammar.distance_S[first] > left:
        raise ValueError(
            f"the vocabulary needs {grammar.distance_S[first]} tokens for the shortest verdict, and an answer has "
            f"{left} with its end; raise max_answer_tokens or take another tokenizer"
        )
    if mode == "one_pass":
        return grammar
    # Lines of the first turn at most: so many can be asked for in the second.
    lines = _most_lines(tables, grammar, first, max_answer_tokens)
    automaton = _Automaton(words, rf"(?:{_SEVERITY}\n){{{lines - 1}}}{_SEVERITY}")
    tables.add(automaton, deciding=True)
    second = [tables.state(automaton, f"{SEVERITIES[0]}\n".encode() * (lines - n)) for n in range(1, lines + 1)]
    grammar = tables.grammar(first, [0, *second])
    if max(grammar.distance_S[grammar.second_L[1:]]) > left:
        raise ValueError(
            f"{lines} severities need {max(grammar.distance_S[grammar.second_L[1:]])} tokens, and an answer has {left} "
            "with its end; raise max_answer_tokens"
        )
    return grammar


class _Automaton:
    """outlines-core's automaton of a pattern over tokens, and over single bytes: their ids follow the vocabulary's."""

    def __init__(self, words: Sequence[bytes | None], pattern: str):
        self.words, self.vocab_size = words, len(words)
        by_bytes: dict[bytes, list[int]] = defaultdict(list)
        for token, word in enumerate(words):
            if word is not None:
                by_bytes[word].append(token)
        for byte in range(256):
            by_bytes[bytes([byte])].append(self.vocab_size + byte)
        unused = self.vocab_size + 256
        index = outlines_core.Index(rf"(?:{pattern})\x00", outlines_core.Vocabulary(unused, dict(by_bytes)))
        self.start: int = index.get_initial_state()
        self.accepting: set[int] = set(index.get_final_states())
        self.transitions: _Transitions = {
            state: {token: after for token, after in row.items() if token != unused}
            for state, row in index.get_transitions().items()
        }

    def step(self, state: int, byte: int) -> int:
        return self.transitions[state][self.vocab_size + byte]

    def open_to(self, state: int) -> bytes:
        """The bytes that may follow."""
        first = self.vocab_size
        return bytes(sorted(token - first for token in self.transitions.get(state, ()) if token >= first))


class _Tables:
    """The tables of one or more automata side by side."""

    def __init__(self, vocab_size: int):
        self.vocab_size = vocab_size
        self.states: dict[tuple[int, int], int] = {}
        self.automata: list[_Automaton] = []
        # Of each token: (state, next state, what it decides, line breaks in it), in the order of states.
        self.edges: dict[int, list[tuple[int, int, int, int]]] = defaultdict(list)
        self.accepting: list[int] = []

    def add(self, automaton: _Automaton, *, deciding: bool) -> int:
        """Take an automaton in; gives the state that it starts in."""
        number = len(self.automata)
        self.automata.append(automaton)
        for state in sorted({automaton.start, *automaton.transitions, *automaton.accepting}):
            self.states[number, state] = len(self.states)
        fork = bytes(sorted(word.encode()[0] for word in SEVERITIES))
        forks = {state for state in automaton.transitions if deciding and automaton.open_to(state) == fork}
        for state, row in automaton.transitions.items():
            here = self.states[number, state]
            for token, after in row.items():
                if token < self.vocab_size:
                    decides, breaks = _walk(automaton, forks, state, token)
                    self.edges[token].append((here, self.states[number, after], decides, breaks))
        self.accepting += [self.states[number, state] for state in sorted(automaton.accepting)]
        return self.states[number, automaton.start]

    def state(self, automaton: _Automaton, text: bytes) -> int:
        """Where a text leads."""
        state = automaton.start
        for byte in text:
            state = automaton.step(state, byte)
        return self.states[self.automata.index(automaton), state]

    def grammar(self, first: int, second: Sequence[int]) -> Grammar:
        """The tables, without ways that lead to no end."""
        S = len(self.states)
        classes: dict[tuple[tuple[int, int, int, int], ...], int] = {(): 0}
        class_V = np.zeros(self.vocab_size, np.int32)
        for token, edges in self.edges.items():
            class_V[token] = classes.setdefault(tuple(sorted(edges)), len(classes))
        C = len(classes)
        next_SC = np.full((S, C), _NOWHERE, np.int32)
        decides_SC = np.zeros((S, C), np.int8)
        self.breaks_SC = np.zeros((S, C), np.int32)
        for of_class, number in classes.items():
            for here, after, decides, breaks in of_class:
                next_SC[here, number], decides_SC[here, number], self.breaks_SC[here, number] = after, decides, breaks
        distance_S = _distances(next_SC, self.accepting)
        next_SC[(next_SC >= 0) & (distance_S[next_SC] >= _FAR)] = _NOWHERE
        return Grammar(class_V, next_SC, distance_S, decides_SC, first, np.array(second, np.int32))


def _walk(automaton: _Automaton, forks: Iterable[int], state: int, token: int) -> tuple[int, int]:
    """Which severity a token decides (1, 2 or 0 for none), and how many line breaks it holds."""
    word = automaton.words[token]
    assert word is not None
    decides = 0
    if forks:
        for byte in word:
            if state in forks:
                decides = 1 + [severity.encode()[0] for severity in SEVERITIES].index(byte)
            state = automaton.step(state, byte)
    return decides, word.count(b"\n")


def _distances(next_SC: np.ndarray, accepting: Sequence[int]) -> np.ndarray:
    """[S] tokens at least from each state to an accepting one; `_FAR` where there is no way."""
    distance_S = np.full(len(next_SC), _FAR, np.int32)
    distance_S[list(accepting)] = 0
    while True:
        after_SC = np.where(next_SC >= 0, distance_S[next_SC], _FAR)
        nearer_S = np.minimum(distance_S, after_SC.min(axis=1) + 1)
        if np.array_equal(nearer_S, distance_S):
            return distance_S
        distance_S = nearer_S


def _most_lines(tables: _Tables, grammar: Grammar, first: int, max_answer_tokens: int) -> int:
    """The most lines that an answer of so many tokens can have."""
    breaks_S = np.full(len(grammar.next_SC), -1, np.int64)  # the most line breaks on a way to each state so far
    breaks_S[first] = 0
    most = 0
    here_S, class_C = np.nonzero(grammar.next_SC >= 0)
    after, added = grammar.next_SC[here_S, class_C], tables.breaks_SC[here_S, class_C]
    for made in range(1, max_answer_tokens + 1):
        reached = np.where(breaks_S[here_S] >= 0, breaks_S[here_S] + added, -1)
        breaks_S = np.full_like(breaks_S, -1)
        np.maximum.at(breaks_S, after, reached)
        in_time_S = grammar.distance_S <= max_answer_tokens + 1 - made
        most = max(most, int(breaks_S[in_time_S].max()))
    return most + 1


def _default_cache() -> Path:
    given = os.environ.get("REEVAL_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reeval"


_FIELDS = ("class_V", "next_SC", "distance_S", "decides_SC", "first", "second_L")


def _read(path: Path) -> Grammar | None:
    """Kept tables; None where there are none, or damaged ones."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in _FIELDS}
    except Exception:  # whatever a damaged file does to its reader
        return None
    return Grammar(**{**arrays, "first": int(arrays["first"])})


def _write(path: Path, grammar: Grammar) -> None:
    """Keep tables for the next run, which can do without."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, **{name: getattr(grammar, name) for name in _FIELDS})
        os.replace(temporary, path)
    except OSError:
        return
