"""A pattern of text as an automaton over tokens, and tables of it: states x classes of tokens.

outlines-core makes the automaton over a vocabulary. Most tokens do alike in every state, so that small tables hold it.
Shape letters: E edges, S states, C classes of tokens, V the vocabulary.
"""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import outlines_core

from reeval.taxonomy import SEVERITIES

NOWHERE = -1
END = b"\x00"  # what the token is spelled with that ends an answer: no text has it


class Automaton(NamedTuple):
    """States are numbered from 0; an edge goes from a state by a token to a state.

    Attributes:
        size: how many states there are.
        start, final: the first state, and the one after the end token, which no edge leaves.
        state_E, token_E, after_E: the edges, int32.
        decides_E: int32, 1 where the token is the first to take a byte of `significant`, 2 of `insignificant`, else 0.
        breaks_E: int32, the line breaks in the token.
    """

    size: int
    start: int
    final: int
    state_E: np.ndarray
    token_E: np.ndarray
    after_E: np.ndarray
    decides_E: np.ndarray
    breaks_E: np.ndarray


class Table(NamedTuple):
    """An automaton by classes of tokens, each [S, C] int32: the state after, `NOWHERE` where there is none; what is
    decided; the line breaks."""

    next_SC: np.ndarray
    decides_SC: np.ndarray
    breaks_SC: np.ndarray


def build(words: Sequence[bytes | None], pattern: str, *, deciding: bool) -> Automaton:
    """The automaton of a pattern that ends with the end token.

    Args:
        words: the bytes of each token; None where it has none.
        pattern: of whole answers without the end token, as Python and Rust both read it.
        deciding: whether the pattern holds severities.
    """
    # Single bytes are tokens behind the vocabulary: they tell what happens inside of a token.
    vocab_size = len(words)
    by_bytes: dict[bytes, list[int]] = defaultdict(list)
    for token, word in enumerate(words):
        if word is not None:
            by_bytes[word].append(token)
    for byte in range(256):
        by_bytes[bytes([byte])].append(vocab_size + byte)
    unused = vocab_size + 256  # outlines-core asks for an end token of its own kind
    index = outlines_core.Index(rf"(?:{pattern})\x00", outlines_core.Vocabulary(unused, dict(by_bytes)))
    state_E, token_E, after_E = _edges(index.get_transitions())
    # No pattern goes on behind its end, so that one state is final.
    (final,) = index.get_final_states()
    numbers, numbered = np.unique(
        np.concatenate([state_E, after_E, [index.get_initial_state(), final]]), return_inverse=True
    )
    size, E = len(numbers), len(state_E)
    state_E, after_E = numbered[:E], numbered[E : 2 * E]
    start, final = map(int, numbered[2 * E :])

    single_E = (token_E >= vocab_size) & (token_E < unused)
    byte_SB = np.full((size, 256), NOWHERE, np.int32)
    byte_SB[state_E[single_E], token_E[single_E] - vocab_size] = after_E[single_E]
    state_E, token_E, after_E = (each[token_E < vocab_size] for each in (state_E, token_E, after_E))
    decides_E, decided_E = _decided(words, byte_SB, state_E, token_E, after_E, deciding)
    breaks_V = np.array([0 if word is None else word.count(b"\n") for word in words], np.int32)
    edges = (state_E, token_E, after_E, decides_E, breaks_V[token_E])
    # A token that runs over two severities would have but one weight.
    return Automaton(size, start, final, *(each[decided_E < 2].astype(np.int32) for each in edges))


def tabulate(automata: Sequence[Automaton], vocab_size: int) -> tuple[np.ndarray, list[Table]]:
    """The class of each token, [V] int32, and the table of each automaton.

    Tokens of a class agree in everything that tables say. Those of class 0 go nowhere.
    """
    firsts = np.cumsum([0, *(automaton.size for automaton in automata)])
    token_E = np.concatenate([automaton.token_E for automaton in automata])
    edge_E4 = np.concatenate(
        [
            np.stack([a.state_E + first, a.after_E, a.decides_E, a.breaks_E], axis=1)
            for a, first in zip(automata, firsts, strict=False)
        ]
    )
    order = np.lexsort((edge_E4[:, 0], token_E))
    token_E, edge_E4 = token_E[order], edge_E4[order]
    tokens, begins = np.unique(token_E, return_index=True)
    of_token = np.split(edge_E4, begins[1:])
    classes: dict[bytes, int] = {b"": 0}
    class_V = np.zeros(vocab_size, np.int32)
    rows: list[np.ndarray] = []
    for token, edges in zip(tokens, of_token, strict=True):
        number = class_V[token] = classes.setdefault(edges.tobytes(), len(classes))
        if number > len(rows):
            rows.append(edges)
    whole = Table(*(np.full((firsts[-1], len(classes)), value, np.int32) for value in (NOWHERE, 0, 0)))
    for number, edges in enumerate(rows, start=1):
        for entries, values in zip(whole, edges.T[1:], strict=True):
            entries[edges[:, 0], number] = values
    return class_V, [Table(*(entries[a:b] for entries in whole)) for a, b in itertools.pairwise(firsts)]


def _edges(transitions: Mapping[int, Mapping[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """State, token and state after of each edge, [E] int64."""
    rows = transitions.values()
    E = sum(map(len, rows))
    state_E = np.repeat(np.fromiter(transitions, np.int64), [len(row) for row in rows])
    token_E = np.fromiter((token for row in rows for token in row), np.int64, E)
    after_E = np.fromiter((after for row in rows for after in row.values()), np.int64, E)
    return state_E, token_E, after_E


def _decided(
    words: Sequence[bytes | None],
    byte_SB: np.ndarray,
    state_E: np.ndarray,
    token_E: np.ndarray,
    after_E: np.ndarray,
    deciding: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """What each edge decides first (0, 1 or 2), and how many severities it does; [E] int32 each.

    Where a severity is to come, and only there, its initials are the bytes that may follow, and perhaps a space.
    """
    initials = np.frombuffer("".join(word[0] for word in SEVERITIES).encode(), np.uint8)
    open_SB = byte_SB != NOWHERE
    open_SB[:, ord(" ")] = False
    fork_S = (open_SB.sum(axis=1) == len(initials)) & open_SB[:, initials].all(axis=1) & deciding
    assert len(set(initials)) == len(SEVERITIES) and fork_S.any() == deciding
    side_B = np.zeros(256, np.int32)
    side_B[initials] = 1 + np.arange(len(initials))

    text = np.frombuffer(b"".join(word or b"" for word in words), np.uint8)
    length_V = np.array([len(word or b"") for word in words])
    begin_E, length_E = (np.cumsum(length_V) - length_V)[token_E], length_V[token_E]
    decides_E, decided_E, at_E = np.zeros(len(state_E), np.int32), np.zeros(len(state_E), np.int32), state_E.copy()
    for place in range(length_V.max(initial=0)):
        going = np.flatnonzero(length_E > place)
        at, byte = at_E[going], text[begin_E[going] + place]
        side = np.where(fork_S[at], side_B[byte], 0)
        decides_E[going] = np.where(decides_E[going], decides_E[going], side)
        decided_E[going] += side > 0
        at_E[going] = byte_SB[at, byte]
    # Byte by byte, a token leads to where outlines-core says.
    assert np.array_equal(at_E, after_E)
    return decides_E, decided_E
