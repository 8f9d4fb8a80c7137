"""Statements of normality in other words: subjects and predicates, joined or parted, and statements about the whole."""

import dataclasses
import functools
import random
import re
from collections.abc import Iterator

from reeval.synth.analysis import Analysis
from reeval.synth.edit import Change, Variation, fitted
from reeval.synth.english import capital, series
from reeval.synth.variation.clauses import Clause, any_of, neighbours, rewritten, table

_ADVERB = r"(?:(?:otherwise|grossly|essentially|mildly|again|also|all|both|well-expanded and|well expanded and)\s+)*"


@dataclasses.dataclass(frozen=True, slots=True)
class Statement:
    """A clause that says one thing of its subjects: their keys, the words before each ("visualized"), the predicate's
    key, its adverb and what follows it ("in size")."""

    clause: Clause
    subjects: tuple[str, ...]
    before: tuple[str, ...]
    predicate: str
    adverb: str
    tail: str


@functools.cache
def _forms() -> dict[str, tuple[str, bool]]:
    """Form -> subject and whether it is plural."""
    forms: dict[str, tuple[str, bool]] = {}
    for key, entry in table("normals")["subjects"].items():
        for number in ("singular", "plural", "read"):
            for form in entry.get(number, ()):
                forms.setdefault(form, (key, number == "plural" or form.endswith("s")))
    return forms


@functools.cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    data = table("normals")
    subject = rf"(?:the\s+)?(?:(?:visualized|visualised|imaged|overlying|remaining)\s+)?(?:{any_of(list(_forms()))})"
    subjects = rf"(?P<subjects>{subject}(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+|\s*/\s*){subject})*)"
    words = any_of([word for entry in data["predicates"].values() for word in entry["words"]])
    first = any_of([word for entry in data["predicates"].values() for word in entry["attribute"]])
    tail = rf"(?P<tail>{any_of(data['tails']['words'])})"
    says = rf"{subjects}(?:\s+(?:is|are|appears?|remains?))?\s+(?P<adverb>{_ADVERB})(?P<word>{words})(?:\s+{tail})?"
    bears = rf"(?P<adverb>{_ADVERB})(?P<word>{first})\s+{subjects}(?:\s+{tail})?"
    return re.compile(says), re.compile(bears)


@functools.cache
def _one() -> re.Pattern[str]:
    before = r"(?:the\s+)?(?P<before>(?:visualized|visualised|imaged|overlying|remaining)\s+)?"
    return re.compile(rf"{before}(?P<form>{any_of(list(_forms()))})(?=\s*(?:,|/|$|and\b))")


@functools.cache
def _predicate(word: str) -> str:
    return next(key for key, entry in table("normals")["predicates"].items() if word in entry["words"])


def _plain(words: str) -> str:
    """Forms that the patterns do not know, as those that they do."""
    words = re.sub(
        r"\b(?:of )?normal (?:in )?size(?: and (contour|configuration|appearance))?$", _sized, " ".join(words.split())
    )
    words = re.sub(
        r"^(?:the )?(?:heart|cardiac silhouette) (?:is|appears) not enlarged$", "heart size is normal", words
    )
    return re.sub(r"^heart (?:shadow|silhouette)", "cardiac silhouette", words)


def _sized(match: re.Match[str]) -> str:
    return f"normal in size and {match[1]}" if match[1] else "normal in size"


@functools.lru_cache(8192)
def parsed(words: str) -> tuple[tuple[str, ...], tuple[str, ...], str, str, str] | None:
    """(subjects, words before them, predicate, adverb, tail) of a clause in lower case; None where it is no statement
    of this kind."""
    words = _plain(words)
    match = next((m for m in (p.fullmatch(words) for p in _patterns()) if m), None)
    if not match:
        return None
    found = list(_one().finditer(match["subjects"]))
    subjects, before = [], []
    tail = match["tail"] or ""
    for one in found:
        key = _forms()[one["form"]][0]
        if key == "heart" and tail == "in size":
            key = "heart_size"
        subjects.append(key)
        before.append((one["before"] or "").strip())
    if tail == "in size" and set(subjects) == {"heart_size"}:
        tail = ""
    if tail == "bilaterally":
        if "lungs" not in subjects:
            return None
        tail = ""
    adverb = " ".join(match["adverb"].replace("both", "").split())
    return tuple(subjects), tuple(before), _predicate(match["word"]), adverb, tail


def read(found: Clause) -> Statement | None:
    """The statement that a clause is and nothing else."""
    parts = parsed(found.words)
    return Statement(found, *parts) if parts else None


def _subject(key: str, before: str, rng: random.Random, tail: str, several: bool) -> tuple[str, bool]:
    entry = table("normals")["subjects"][key]
    forms = [(form, False) for form in entry.get("singular", ())] + [(form, True) for form in entry.get("plural", ())]
    if tail and key == "heart_size":
        forms = [("cardiac silhouette", False)]
    if "contour" in tail:  # no contours are normal in contour
        forms = [form for form in forms if "contour" not in form[0]] or forms
    if several:
        forms = [form for form in forms if " and " not in form[0]] or forms
    if before:
        forms = [form for form in forms if not form[0].startswith(("both", "right", "left"))]
    form, plural = rng.choice(forms)
    return (f"{before} {form}" if before else form), plural


def _said(statement: Statement, subjects: range | list[int], rng: random.Random) -> str:
    """The statement about some of its subjects, in words drawn anew."""
    data = table("normals")
    keys = [statement.subjects[i] for i in subjects]
    drawn = [
        _subject(statement.subjects[i], statement.before[i], rng, statement.tail, len(subjects) > 1) for i in subjects
    ]
    predicate = data["predicates"][statement.predicate]
    adverb = f"{statement.adverb} " if statement.adverb else ""
    tail = f" {statement.tail}" if statement.tail else ""
    if keys == ["heart_size"] and statement.predicate == "normal" and not (adverb or tail):
        entry = data["subjects"]["heart_size"]
        if rng.random() < 0.3:
            return rng.choice([*entry["verbal"], *(f"the {form}" for form in entry["verbal"]), *entry["denied"]])
        if rng.random() < 0.3:
            heart = rng.choice(["the heart", "heart", "cardiac silhouette"])
            return f"{heart} is normal in size"
    if keys == ["trachea"] and statement.predicate == "midline" and not (adverb or tail) and rng.random() < 0.5:
        return rng.choice(data["subjects"]["trachea"]["denied"])
    names = series([name for name, _ in drawn], "and", rng.random() < 0.7)
    verb = "are" if len(drawn) > 1 or drawn[0][1] else "is"
    if keys == ["lungs"] and statement.predicate == "clear" and not adverb and rng.random() < 0.35:
        return str(rng.choice(data["subjects"]["lungs"]["verbal"]))
    kind = rng.random()
    of = names if names.startswith(("both ", "right and left", "left and right")) else f"the {names}"
    word = rng.choice(predicate["words"])
    if tail.startswith((" for ", " of ")) and statement.predicate == "normal" and "age" not in tail:
        word = "within normal limits"
    if statement.predicate == "upper" and any(key not in ("heart", "heart_size") for key in keys):
        word = "at the upper limits of normal"
    if (
        kind < 0.25
        and not tail
        and statement.predicate not in ("midline", "intact", "upper")
        and not names.startswith("both")
    ):
        return f"{adverb}{rng.choice(predicate['attribute'])} {names}"
    if kind < 0.4:
        return f"{names} {adverb}{word}{tail}"
    if kind < 0.55:
        verb = "appear" if verb == "are" else "appears"
    return f"{rng.choice([names, of])} {verb} {adverb}{word}{tail}"


def variations(analysis: Analysis, statements: dict[int, Statement], rng: random.Random) -> Iterator[Variation]:
    """Each statement in other words, its subjects in another order, parted, or joined with the next sentence's."""
    document = analysis.document
    for statement in statements.values():
        count = len(statement.subjects)
        seen = set()
        for _ in range(3):
            order = list(range(count))
            if rng.random() < 0.5:
                rng.shuffle(order)
            change = rewritten(document, statement.clause, _said(statement, order, rng))
            if change and change.new not in seen:
                seen.add(change.new)
                yield Variation("normal", (change,))
        if count > 1 and not statement.tail:
            cut = rng.randrange(1, count)
            one, other = _said(statement, range(cut), rng), _said(statement, range(cut, count), rng)
            new = fitted(document, statement.clause.start, f"{one}. {capital(other)}")
            yield Variation("split", (Change(statement.clause.start, statement.clause.end, new),))
    for index, statement in statements.items():
        after = statements.get(index + 1)
        if after is None or not neighbours(analysis, index) or len(statement.subjects) + len(after.subjects) > 4:
            continue
        if (statement.predicate, statement.adverb, statement.tail) != (after.predicate, after.adverb, after.tail):
            continue
        if after.clause.start != analysis.sentence(index + 1).start:
            continue
        both = Statement(
            statement.clause, statement.subjects + after.subjects, statement.before + after.before,
            statement.predicate, statement.adverb, statement.tail,
        )  # fmt: skip
        new = fitted(document, statement.clause.start, _said(both, range(len(both.subjects)), rng))
        yield Variation("merge", (Change(statement.clause.start, after.clause.end, new),))


def several(words: str) -> list[tuple[tuple[str, ...], tuple[str, ...], str, str, str]]:
    """The statements that a clause in lower case consists of; none where it says anything else."""
    whole = parsed(words)
    if whole:
        return [whole]
    for cut in re.finditer(r",? and |[,;] (?:and )?|,? with ", words):
        first = parsed(words[: cut.start()])
        rest = several(words[cut.end() :]) if first else []
        if first and rest:
            return [first, *rest]
    return []


def parted(analysis: Analysis, found: Clause, rng: random.Random) -> Iterator[Variation]:
    """ "Heart size normal, lungs clear." as sentences of their own."""
    each = several(found.words)
    if len(each) < 2:
        return
    said = [_said(Statement(found, *part), range(len(part[0])), rng) for part in each]
    new = fitted(analysis.document, found.start, ". ".join([said[0], *map(capital, said[1:])]))
    yield Variation("split", (Change(found.start, found.end, new),))
