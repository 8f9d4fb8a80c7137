"""Statements of normality in other words: subjects and predicates, joined or parted, and statements about the whole."""

import dataclasses
import functools
import random
import re
from collections.abc import Iterator

from reeval.synth.analysis import Analysis
from reeval.synth.edit import Change, Variation
from reeval.synth.variation.clauses import Clause, joined, neighbours, rewritten, table, upper_first, written

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


def _any(words: list[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


@functools.cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    data = table("normals")
    subject = rf"(?:the\s+)?(?:(?:visualized|visualised|imaged|overlying|remaining)\s+)?(?:{_any(list(_forms()))})"
    subjects = rf"(?P<subjects>{subject}(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+|\s*/\s*){subject})*)"
    words = _any([word for entry in data["predicates"].values() for word in entry["words"]])
    first = _any([word for entry in data["predicates"].values() for word in entry["attribute"]])
    tail = rf"(?P<tail>{_any(data['tails']['words'])})"
    says = rf"{subjects}(?:\s+(?:is|are|appears?|remains?))?\s+(?P<adverb>{_ADVERB})(?P<word>{words})(?:\s+{tail})?"
    bears = rf"(?P<adverb>{_ADVERB})(?P<word>{first})\s+{subjects}(?:\s+{tail})?"
    return re.compile(says), re.compile(bears)


@functools.cache
def _one() -> re.Pattern[str]:
    before = r"(?:the\s+)?(?P<before>(?:visualized|visualised|imaged|overlying|remaining)\s+)?"
    return re.compile(rf"{before}(?P<form>{_any(list(_forms()))})(?=\s*(?:,|/|$|and\b))")


@functools.cache
def _predicate(word: str) -> str:
    return next(key for key, entry in table("normals")["predicates"].items() if word in entry["words"])


@functools.lru_cache(8192)
def parsed(words: str) -> tuple[tuple[str, ...], tuple[str, ...], str, str, str] | None:
    """(subjects, words before them, predicate, adverb, tail) of a clause in lower case; None where it is no statement
    of this kind."""
    words = " ".join(words.split())
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


def read(analysis: Analysis, found: Clause) -> Statement | None:
    """The statement that a clause is and nothing else."""
    parts = parsed(found.words)
    return Statement(found, *parts) if parts else None


def _subject(key: str, before: str, rng: random.Random, tail: str, several: bool) -> tuple[str, bool]:
    entry = table("normals")["subjects"][key]
    forms = [(form, False) for form in entry.get("singular", ())] + [(form, True) for form in entry.get("plural", ())]
    if tail and key == "heart_size":
        forms = [("cardiac silhouette", False)]
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
    if keys == ["heart_size"] and statement.predicate == "normal" and not (adverb or tail) and rng.random() < 0.3:
        entry = data["subjects"]["heart_size"]
        return rng.choice([*entry["verbal"], *(f"the {form}" for form in entry["verbal"]), *entry["denied"]])
    if keys == ["heart_size"] and statement.predicate == "normal" and not (adverb or tail) and rng.random() < 0.3:
        return rng.choice(
            ["the heart is normal in size", "heart is normal in size", "cardiac silhouette is normal in size"]
        )
    if keys == ["trachea"] and statement.predicate == "midline" and not (adverb or tail) and rng.random() < 0.5:
        return rng.choice(data["subjects"]["trachea"]["denied"])
    names = joined([name for name, _ in drawn], "and", rng.random() < 0.7)
    verb = "are" if len(drawn) > 1 or drawn[0][1] else "is"
    if keys == ["lungs"] and statement.predicate == "clear" and not adverb and rng.random() < 0.35:
        return str(rng.choice(data["subjects"]["lungs"]["verbal"]))
    kind = rng.random()
    of = names if names.startswith(("both ", "right and left", "left and right")) else f"the {names}"
    word = rng.choice(predicate["words"])
    if kind < 0.25 and not tail and statement.predicate not in ("midline", "intact") and not names.startswith("both"):
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
            new = written(document, statement.clause.start, f"{one}. {upper_first(other)}")
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
        new = written(document, statement.clause.start, _said(both, range(len(both.subjects)), rng))
        yield Variation("merge", (Change(statement.clause.start, after.clause.end, new),))


@functools.cache
def _global() -> re.Pattern[str]:
    data = table("normals")["global"]
    regions = _any([form for group in data["regions"] for form in group if form])
    return re.compile(
        r"(?:(?:there (?:is|are) )?no (?P<evidence>(?:radiographic )?(?:evidence|findings) (?:of|for) )?(?:any |an )?"
        r"|negative for )"
        rf"(?P<a>acute|active)(?P<early> radiographic)?(?: (?P<r>{regions}))?(?P<late> radiographic)?"
        rf" (?P<n>{_any(data['nouns'])}|processes)(?: radiographically)?"
        r"(?: (?:is |are )?(?:seen|noted|identified|present|detected|demonstrated|appreciated|visualized))?"
    )


def _told(words: str) -> tuple[str, str] | None:
    """`overall` of the frames that name the region last."""
    data = table("normals")["global"]
    words = re.sub(r"\b(?:osseous|skeletal) structures show", "bony structures show", words)
    for name, group in (("bones", -1), ("heart_lungs", 0)):
        for frame in data[name]:
            pattern = re.escape(frame).replace(r"\{a\}", "(acute|active)").replace(r"\{is\}", "(?:is|are)")
            pattern = pattern.replace(r"\{n\}", f"(?:{_any(data['nouns'])})")
            told = re.fullmatch(pattern, words)
            if told:
                return told[1], data["regions"][group][0]
    return None


@functools.lru_cache(8192)
def overall(words: str) -> tuple[str, str] | None:
    """(adjective, region) of a statement about the whole study in lower case; ("", "") for "normal chest"."""
    words = re.sub(r"\bchest (?:films?|x-rays?|radiographs)\b|\bcxr\b", "chest radiograph", " ".join(words.split()))
    data = table("normals")["global"]
    if words in data["chest"]:
        return "", ""
    match = _global().fullmatch(words)
    if not match:
        return _told(words)
    region = match["r"] or ""
    return match["a"], next(group[0] for group in data["regions"] if region in group)


def several(words: str) -> list[tuple[tuple[str, ...], tuple[str, ...], str, str, str]]:
    """The statements that a clause in lower case consists of; none where it says anything else."""
    whole = parsed(words)
    if whole:
        return [whole]
    parts = re.split(r",? and (?=the )|[,;] (?:and )?|,? with ", " ".join(words.split()))
    each = [part for part in map(parsed, parts) if part]
    return each if len(each) == len(parts) else []


def parted(analysis: Analysis, found: Clause, rng: random.Random) -> Iterator[Variation]:
    """ "Heart size normal, lungs clear." as sentences of their own."""
    each = several(found.words)
    if len(each) < 2:
        return
    said = [_said(Statement(found, *part), range(len(part[0])), rng) for part in each]
    new = written(analysis.document, found.start, ". ".join([said[0], *map(upper_first, said[1:])]))
    yield Variation("split", (Change(found.start, found.end, new),))


def globals_(analysis: Analysis, found: Clause, rng: random.Random) -> Iterator[Variation]:
    """A statement about the whole study in other words."""
    data = table("normals")["global"]
    document = analysis.document
    words = " ".join(found.words.split())
    drawn: list[str] = []
    match = _global().fullmatch(words)
    if match:
        region = match["r"] or ""
        forms = next(group for group in data["regions"] if region in group)
        bones = "bony" in forms
        radiographic = bool(match["early"] or match["late"] or (match["evidence"] or "").startswith("radiographic"))
        frames = (
            data["radiographic"]
            if radiographic
            else [
                *data["plain"],
                *(data["bones"] if bones else ()),
                *(data["heart_lungs"] if "cardiopulmonary" in forms else ()),
            ]
        )
        for frame in rng.sample(frames, min(4, len(frames))):
            noun = rng.choice(data["nouns"])
            if bones and noun in ("disease", "process", "pathology"):
                noun = "abnormality"
            is_ = "are" if noun.endswith("s") and noun != "process" else "is"
            drawn.append(frame.format(a=match["a"], r=rng.choice(forms), n=noun, **{"is": is_}))
    elif words in data["chest"]:
        drawn = rng.sample(data["chest"], 4)
    for new in drawn:
        change = rewritten(document, found, new)
        if change:
            yield Variation("global", (change,))
