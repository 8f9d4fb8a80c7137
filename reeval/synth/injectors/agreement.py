"""The number of a finding's noun changed, with its article and its verb; None wherever the sentence says more about it
than is certain to agree."""

import re

from reeval.synth.analysis import Analysis
from reeval.synth.edit import Change, replaced
from reeval.synth.mentions import Mention

_VERBS = {
    "is": "are", "was": "were", "has": "have", "appears": "appear", "remains": "remain", "measures": "measure",
    "overlies": "overlie", "projects": "project", "persists": "persist", "represents": "represent",
}  # fmt: skip
_BACK = {plural: singular for singular, plural in _VERBS.items()}
_FINITE = re.compile(
    rf"\b(?:{'|'.join([*_VERBS, *_BACK])}|which|that|these|this|those|it|they|both|each|largest|one|some|other|former"
    r"|latter|ones)\b"
)
_THERE = re.compile(
    r"\bthere (is|are|was|were|has been|have been)(?: (?:also|again|now|still|noted|seen))*\s+(?:(?:an?|the)\s+)?$"
)
_VERB_AFTER = re.compile(rf"(?:\s+(?:[\w-]+\s+){{0,6}}?)({'|'.join([*_VERBS, *_BACK])})\b")
_ARTICLE = re.compile(r"(?<![\w-])(an?|the|this)\s+$")


def singular(analysis: Analysis, mention: Mention, *, with_a: bool) -> list[Change] | None:
    """ "nodules" -> "nodule". with_a: with "a" before the whole phrase, where the sentence has verbs and would need an
    article; without, the caller sees to it."""
    return _changed(analysis, mention, True, with_a)


def plural(analysis: Analysis, mention: Mention) -> list[Change] | None:
    """ "a nodule" -> "nodules"."""
    return _changed(analysis, mention, False, False)


def _changed(analysis: Analysis, mention: Mention, to_singular: bool, with_a: bool) -> list[Change] | None:
    document = analysis.document
    lower, text = document.lower, document.text
    sentence = document.sentences[mention.sentence]
    if mention.plural != to_singular:
        return None
    start, end = mention.start, mention.end
    word = re.search(r"[a-z]+$", lower[start:end])
    if not word or " of " in lower[start:end]:
        return None
    new = _singular_of(word[0]) if to_singular else _plural_of(word[0])
    if new is None:
        return None
    # Only the ending changes: the first letter may be another change's.
    kept = next((i for i, (a, b) in enumerate(zip(word[0], new, strict=False)) if a != b), min(len(word[0]), len(new)))
    changes = [replaced(document, start + word.start() + kept, end, new[kept:])]
    before, after = lower[sentence.start : mention.low], lower[end : sentence.end]
    if _FINITE.search(lower[mention.low : start]):
        return None
    there = _THERE.search(before)
    article = _ARTICLE.search(before)
    rest = before[: there.start()] if there else before
    if there and there[1] not in ("is", "are", "was", "were"):
        return None
    wanted = _BACK if to_singular else _VERBS
    if there:
        if there[1] in wanted:
            at = sentence.start + there.start(1)
            changes.append(replaced(document, at, at + len(there[1]), wanted[there[1]]))
        elif there[1] not in wanted.values():
            return None
        if _FINITE.search(after):
            return None
    elif re.fullmatch(r"(?:(?:an?|the)\s+)?", rest):
        verb = _VERB_AFTER.match(after)
        if verb:
            if verb[1] not in wanted:
                return None
            at = end + verb.start(1)
            changes.append(replaced(document, at, at + len(verb[1]), wanted[verb[1]]))
            if _FINITE.search(after, verb.end()) or re.search(r"\b(?:and|with)\b|,", after[: verb.start(1)]):
                return None
        elif _FINITE.search(after):
            return None
    elif _FINITE.search(rest) or _FINITE.search(after):
        return None
    # "and" after the phrase could share its number or its verb.
    if re.match(r"\s*(?:,|and|or)\b", after) or re.search(r"\b(?:and|or|,)\s+(?:an?\s+)?$", before):
        return None
    if article:
        if to_singular:
            return changes if article[1] == "the" else None
        if article[1] == "this":
            return None
        if article[1] in ("a", "an"):
            low = sentence.start + article.start()
            if low == sentence.start:
                following = text[mention.low]
                changes.append(Change(low, mention.low + 1, following.upper()))
            else:
                changes.append(Change(low, mention.low, ""))
    elif with_a and (there or (re.search(r"\w", rest) and not rest.rstrip().endswith(":"))):
        if mention.low == mention.start and not there:
            return None
        changes.append(Change(mention.low, mention.low, document.cased("a ")))
    return changes


def _singular_of(word: str) -> str | None:
    if word.endswith("ata"):
        return word[:-2]
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "aces")):
        return word[:-2] if word.endswith("sses") else word[:-4] + "ax"
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "is", "us")) else None


def _plural_of(word: str) -> str | None:
    if word in ("opacification", "haziness", "scarring"):
        return None
    if word in ("pneumothorax", "hydropneumothorax"):
        return word[:-2] + "aces"
    if word.endswith("y"):
        return word[:-1] + "ies"
    if word.endswith("ss"):
        return word + "es"
    return word + "s" if not word.endswith(("s", "x", "a")) or word == "granuloma" else None
