"""A small grammar over any vocabulary, made by hand: what tables mean, without a tokenizer or an automaton."""

import numpy as np

from reeval.decode.grammar import Grammar


def steered(vocabulary: int, end: int) -> Grammar:
    """Five states in which some classes of tokens are allowed, two of them accepting.

    Three classes decide. The last four tokens are never allowed, which stand for images in some models.
    """
    noise = np.random.default_rng(1)
    S, C, ends, never = 5, 8, 6, 7
    class_V = noise.integers(0, ends, vocabulary).astype(np.int32)
    class_V[-4:] = never
    class_V[end] = ends
    next_SC = np.where(noise.random((S + 1, C)) < 0.6, noise.integers(0, S, (S + 1, C)), -1).astype(np.int32)
    next_SC[:, 0] = (np.arange(S + 1) + 1) % S  # a way from each state to each
    next_SC[:, ends:], next_SC[S] = -1, -1
    next_SC[[2, 4], ends] = S
    distance_S = np.full(S + 1, 99, np.int32)
    distance_S[S] = 0
    for _ in range(S + 1):
        distance_S = np.minimum(distance_S, np.where(next_SC >= 0, distance_S[next_SC], 99).min(1) + 1).astype(np.int32)
    decides_SC = np.zeros((S + 1, C), np.int8)
    decides_SC[:, 0], decides_SC[:, 3], decides_SC[:, 4] = 1, 2, 1
    return Grammar(class_V, next_SC, distance_S, decides_SC, 0, np.array([0, 1, 3, 2], np.int32))
