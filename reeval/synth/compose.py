"""Candidates of one reference: which errors, how many, with how much harmless variation around them.

Of everything that a report can carry safely, the errors are drawn so that cells and severities even out over the set.
Errors and variations together come to a number that does not depend on the label, and of all words to choose from those
are preferred that have not gone with the label so far: neither presence nor amount nor kind of a difference shall tell.
"""

import dataclasses
import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence

from reeval.pairs import Pair
from reeval.synth import check
from reeval.synth.analysis import Analysis, analyse
from reeval.synth.balance import Balance, Features, changed_words
from reeval.synth.candidate import Candidate, Order, assemble, fits
from reeval.synth.edit import Edit, Variation
from reeval.synth.injectors import INJECTORS
from reeval.synth.variation import orders, variations

# So many edits of a cell and so many variations are compared, and what words that speak for a label weigh against the
# count of a cell or of a kind of variation.
_LOOKED_AT, _VARIATIONS_LOOKED_AT, _LEAN = 20, 24, 6.0
_MOST_ERRORS = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Mixture:
    """What the candidates of a set are made of.

    significant: share of the significant pairs.
    significant_errors: relative shares of 1, 2, 3 significant errors in a significant pair.
    beside: relative shares of 0, 1, 2 insignificant errors beside them. No pair has more than four errors.
    insignificant_errors: relative shares of 0, 1, 2, 3 errors in an insignificant pair.
    unvaried: share of the pairs with errors that have no harmless variation beside them.
    identical: share of the insignificant pairs that repeat the reference.
    drafts: how many candidates of each label are drawn for one that is kept.
    """

    significant: float = 0.5
    significant_errors: tuple[float, ...] = (0.56, 0.31, 0.13)
    beside: tuple[float, ...] = (0.7, 0.26, 0.04)
    insignificant_errors: tuple[float, ...] = (0.13, 0.6, 0.22, 0.05)
    unvaried: float = 0.12
    identical: float = 0.03
    drafts: int = 6


@dataclasses.dataclass(frozen=True)
class Material:
    """A reference, and all edits, variations and reorderings that it can carry, drawn once."""

    analysis: Analysis
    edits: tuple[Edit, ...]
    variations: tuple[Variation, ...]
    orders: tuple[Order, ...]

    _words: dict[int, Features] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    def words(self, made: Edit | Variation) -> Features:
        """The words that an edit or variation of this material takes and adds."""
        if id(made) not in self._words:
            text = self.analysis.document.text
            old = " ".join(text[change.start : change.end] for change in made.changes)
            self._words[id(made)] = changed_words(old, " ".join(change.new for change in made.changes))
        return self._words[id(made)]


def material(text: str, rng: random.Random) -> Material:
    """Read a reference and find what could be done to it."""
    analysis = analyse(text)
    if not analysis.mentions and not analysis.normals:
        return Material(analysis, (), (), ())  # nothing in it is known: it may be no chest X-ray report at all
    return Material(
        analysis,
        tuple(edit for injector in INJECTORS for edit in injector(analysis, rng)),
        tuple(variations(analysis, rng)),
        tuple(orders(analysis, rng)),
    )


def candidate(
    pair_id: str, reference_id: str, made_of: Material, chance: float, rng: random.Random, balance: Balance,
    mixture: Mixture, dropped: Counter[str],
) -> Pair | None:  # fmt: skip
    """A pair of this reference, counted in `balance`; None where it cannot carry one.

    Drafts of both labels are made. The one is taken whose label the words of the set so far give away least, where
    `chance` (of a significant pair) leaves both open. `dropped` counts drafts by the fault that they had (names without
    report text), and references that a label could not be met for.
    """
    drafts: list[tuple[float, int, Pair]] = []
    for label, share in ((True, chance), (False, 1.0 - chance)):
        if share <= 0.0:
            continue
        handicap = -math.log(share)
        severities = _severities(label, rng, mixture)
        for _ in range(mixture.drafts):
            chosen = draft(made_of, label, severities, rng, balance, mixture)
            if chosen is None:
                dropped[f"no {'significant' if label else 'insignificant'} candidate"] += 1
                break
            pair = _pair(pair_id, reference_id, made_of, chosen)
            drafts.append((balance.expected(pair) + handicap + 0.3 * rng.random(), len(drafts), pair))
    for _, _, pair in sorted(drafts):
        faults = check.faults(pair, made_of.analysis)
        dropped.update(f"draft: {fault}" for fault in faults)
        if not faults:
            balance.add(pair)
            return pair
    return None


def chance_of_significance(balance: Balance, mixture: Mixture) -> float:
    """The chance that brings the share of significant pairs back to the mixture's, where reports led away from it."""
    missing = mixture.significant * balance.labels.total() - balance.labels[True]
    return min(max(mixture.significant + missing / 8, 0.0), 1.0) if 0 < mixture.significant < 1 else mixture.significant


def levels(reference_id: str, made_of: Material, count: int, rng: random.Random, balance: Balance) -> Iterator[Pair]:
    """Candidates of one reference with 1 to `count` significant errors, each with those before it and one more, and
    without anything else: each is worse than the one before. Fewer where the reference carries fewer."""
    chosen: list[Edit] = []
    chain: list[Pair] = []
    for level in range(1, count + 1):
        edit = _edit(made_of, chosen, "significant", True, rng, balance)
        if edit is None:
            break
        chosen.append(edit)
        pair = _pair(f"{reference_id}-{level}", reference_id, made_of, assemble(made_of.analysis.document, chosen))
        if check.faults(pair, made_of.analysis):
            break
        chain.append(pair)
    for level, pair in enumerate(chain, start=1):
        pair = dataclasses.replace(pair, metadata={**pair.metadata, "level": level, "levels": len(chain)})
        balance.add(pair)
        yield pair


def draft(
    made_of: Material, significant: bool, severities: Sequence[str] | None, rng: random.Random, balance: Balance,
    mixture: Mixture,
) -> Candidate | None:  # fmt: skip
    """One candidate of the label with errors of these severities, or fewer; None where the reference cannot carry it.
    No severities at all (None): the reference itself."""
    document = made_of.analysis.document
    if severities is None:
        return assemble(document, ())
    edits: list[Edit] = []
    for severity in severities:
        edit = _edit(made_of, edits, severity, significant, rng, balance)
        if edit is not None:
            edits.append(edit)
        elif significant and not edits:
            return None
    varied: list[Variation] = []
    moved: list[Order] = []
    if not edits or rng.random() >= mixture.unvaried:
        # Errors and variations together come to a number that does not depend on the label.
        wanted = max(1, round(len(document.sentences) * rng.uniform(0.3, 1.3)) - len(edits))
        pool = list(made_of.variations)
        rng.shuffle(pool)
        kinds: Counter[str] = Counter()
        leans = {v: _LEAN * balance.leans(made_of.words(v), significant) + 2 * rng.random() for v in pool}
        while pool and len(varied) < wanted:
            # The rarest kind so far comes next: a report is not one trick repeated.
            variation = min(pool[:_VARIATIONS_LOOKED_AT], key=lambda v: kinds[v.kind] + leans[v])
            pool.remove(variation)
            if fits([*edits, *varied], variation):
                varied.append(variation)
                kinds[variation.kind] += 1
        if made_of.orders and rng.random() < 0.35:
            moved = [rng.choice(made_of.orders)]
    if not edits and not varied and not moved:
        return None
    return assemble(document, edits, varied, moved)


def _edit(
    made_of: Material, taken: Sequence[Edit], severity: str, significant: bool, rng: random.Random, balance: Balance
) -> Edit | None:
    """An edit of the severity: from a cell that the set needs, with words that do not speak for the pair's label."""
    by_cell: dict[tuple[str, str], list[Edit]] = {}
    for edit in made_of.edits:
        if edit.severity == severity and fits(taken, edit):
            by_cell.setdefault((edit.aspect, edit.type), []).append(edit)
    scored: list[tuple[float, int, Edit]] = []
    for cell, edits in by_cell.items():
        excess = balance.excess(*cell, severity)
        for edit in rng.sample(edits, min(len(edits), _LOOKED_AT)):
            words = made_of.words(edit)
            lean = _LEAN * balance.leans(words, significant)
            scored.append((excess + lean + rng.random(), len(scored), edit))
    return min(scored)[2] if scored else None


def _severities(significant: bool, rng: random.Random, mixture: Mixture) -> list[str] | None:
    if not significant and rng.random() < mixture.identical:
        return None
    if not significant:
        return ["insignificant"] * _draw(rng, mixture.insignificant_errors)
    grave = 1 + _draw(rng, mixture.significant_errors)
    return (["significant"] * grave + ["insignificant"] * _draw(rng, mixture.beside))[:_MOST_ERRORS]


def _draw(rng: random.Random, shares: Sequence[float]) -> int:
    return rng.choices(range(len(shares)), shares)[0]


def _pair(pair_id: str, reference_id: str, made_of: Material, candidate: Candidate) -> Pair:
    metadata = {"rules": list(candidate.rules), "pieces": [piece.to_json() for piece in candidate.pieces]}
    text = made_of.analysis.document.text
    return Pair(pair_id, reference_id, text, candidate.text, candidate.errors, metadata)
