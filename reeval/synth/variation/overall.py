"""Statements about the whole study in other words: "No acute cardiopulmonary abnormality." """

import functools
import random
import re
from collections.abc import Iterator

from reeval.synth.analysis import Analysis
from reeval.synth.edit import Change, Variation
from reeval.synth.english import capital
from reeval.synth.mentions import PRESENT
from reeval.synth.variation.clauses import Clause, any_of, rewritten, table


@functools.cache
def _global() -> re.Pattern[str]:
    data = table("normals")["global"]
    regions = any_of([form for group in data["regions"] for form in group if form])
    return re.compile(
        r"(?:(?:there (?:is|are) )?no (?P<evidence>(?:radiographic )?(?:evidence|findings) (?:of|for) )?(?:any |an )?"
        r"|negative for )"
        rf"(?P<a>acute|active)(?P<early> radiographic)?(?: (?P<r>{regions}))?(?P<late> radiographic)?"
        rf" (?P<n>{any_of(data['nouns'])}|processes)(?: radiographically)?"
        r"(?: (?:is |are )?(?:seen|noted|identified|present|detected|demonstrated|appreciated|visualized))?"
    )


@functools.cache
def _told() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Patterns of the statements that name their region otherwise, and the region."""
    data = table("normals")["global"]
    bones = r"(?:visualized |visualised |imaged )?(?:osseous|bony|skeletal) structures(?: of the thorax)?"
    noun = rf"(?P<a>acute|active) (?:{any_of(data['nouns'])})"
    shows = r"(?:(?:are )?without|(?:show|reveal|demonstrate)(?: no)|have no)(?: any)?"
    where = r"(?:of|in) the heart or (?:either lung|lungs)"
    return (
        (re.compile(rf"(?:the )?{bones} {shows} {noun}"), "osseous"),
        (re.compile(rf"no {noun} of the (?:bones|osseous structures|bony structures)"), "osseous"),
        (re.compile(rf"(?:there (?:is|are) )?no {noun} {where}"), "cardiopulmonary"),
        (re.compile(rf"(?:the )?heart and lungs show no {noun}"), "cardiopulmonary"),
    )


@functools.lru_cache(8192)
def overall(words: str) -> tuple[str, str] | None:
    """(adjective, region) of a statement about the whole study in lower case; ("", "") for "normal chest"."""
    words = re.sub(r"\bchest (?:films?|x-rays?|radiographs)\b|\bcxr\b", "chest radiograph", " ".join(words.split()))
    data = table("normals")["global"]
    if words in data["chest"]:
        return "", ""
    match = _global().fullmatch(words)
    if match:
        region = match["r"] or ""
        return match["a"], next(group[0] for group in data["regions"] if region in group)
    for pattern, region in _told():
        told = pattern.fullmatch(words)
        if told:
            return told["a"], region
    return None


def _drawn(words: str, count: int, rng: random.Random) -> list[str]:
    """A statement about the whole in other words; none where the words are no such statement."""
    data = table("normals")["global"]
    words = " ".join(words.split())
    said = overall(words)
    if said is None:
        return []
    adjective, region = said
    if not adjective:
        return rng.sample(data["chest"], count)
    forms = next(group for group in data["regions"] if group[0] == region)
    frames = [*data["plain"]]
    if "radiographic" in words:
        frames = [*data["radiographic"]]
    elif region == "osseous":
        visible = "visualized " if re.search(r"\bvisuali[sz]ed|\bimaged", words) else ""
        frames += [frame.replace("{v}", visible) for frame in data["bones"]]
    elif region == "cardiopulmonary":
        frames += data["heart_lungs"]
    drawn = []
    for frame in rng.sample(frames, count):
        noun = rng.choice(data["nouns"])
        if region == "osseous" and noun in ("disease", "process", "pathology"):
            noun = "abnormality"
        verb = "are" if noun.endswith("s") and noun != "process" else "is"
        drawn.append(_frame(frame, a=adjective, r=rng.choice(forms), n=noun, **{"is": verb}))
    return drawn


_WITHOUT = re.compile(r",? (?:(?:and )?(?:without|with no)|no)(?: evidence of)? (?=acute|active)")
# A sentence that goes on with its verb, or whose negation or doubt reaches further.
_HELD = re.compile(
    r"\b(?:no|not|may|could|which|that|if)\b"
    r"|(?:^|\b(?:is|are|and|otherwise|shows?|reveals?|demonstrates?|have|has|with|there|but|appears?|:))$"
)


def _frame(frame: str, **words: str) -> str:
    return " ".join(frame.format(**words).split())


def _trailing(words: str) -> re.Match[str] | None:
    """Where a sentence on something else goes over into a statement about the whole."""
    cue = _WITHOUT.search(words)
    if not cue or _HELD.search(words[: cue.start()]):
        return None
    # "Bones intact with no acute abnormality" speaks of the bones; without a region only a disease is the patient's.
    said = overall("no " + " ".join(words[cue.end() :].split()))
    return cue if said and (said[1] or words.endswith("disease")) else None


@functools.lru_cache(8192)
def trailing(words: str) -> tuple[str, str] | None:
    """`overall` of the end of a sentence: "Cardiomegaly without acute disease." """
    words = " ".join(words.split())
    cue = _trailing(words)
    return overall("no " + words[cue.end() :]) if cue else None


def variations(analysis: Analysis, found: Clause, rng: random.Random) -> Iterator[Variation]:
    """A statement about the whole in other words; one at the end of a sentence as a sentence of its own."""
    for new in _drawn(found.words, 4, rng):
        change = rewritten(analysis.document, found, new)
        if change:
            yield Variation("global", (change,))
    cue = _trailing(found.words)
    if not cue:
        return
    if any(m.polarity != PRESENT for m in analysis.by_sentence[found.index]):
        return
    for new in _drawn("no " + found.words[cue.end() :], 1, rng):
        new = f". {analysis.document.cased(capital(new))}"
        yield Variation("split", (Change(found.start + cue.start(), found.end, new),))
