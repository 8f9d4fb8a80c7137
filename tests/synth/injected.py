"""What an injector makes of a hand-written report, for the tests of each."""

import random
import re

from reeval.synth import document as documents
from reeval.synth.analysis import analyse
from reeval.synth.candidate import assemble


def alone(analysis, edit):
    """The candidate that an edit makes alone. Its only error says what changed, in words of both reports."""
    made = assemble(analysis.document, [edit])
    (error,) = made.errors
    text = analysis.document.text
    assert made.text != text and error.severity == edit.severity
    assert error.reference_span in text and error.candidate_span in made.text
    assert error.reference_span != error.candidate_span
    assert error.reference_span or error.type == "fabrication", edit.rule
    assert error.candidate_span or error.type == "omission", edit.rule
    return made


def each(module, text, rule="", seeds=25):
    """The edits of a module whose rule begins with `rule`, the aspect left out ("omission.treated"), each with the
    candidate that it makes alone."""
    analysis = analyse(text)
    for seed in range(seeds):
        for edit in module.edits(analysis, random.Random(seed)):
            if edit.rule.partition(".")[2].startswith(rule):
                yield edit, alone(analysis, edit)


def errors(module, text, rule="", seeds=25):
    """Candidate -> its error."""
    return {made.text: made.errors[0] for _, made in each(module, text, rule, seeds)}


def candidates(module, text, seeds=8):
    """Rule -> the candidates it makes of a report, each with its error's spans: (candidate, reference span, candidate
    span)."""
    found = {}
    for edit, made in each(module, text, seeds=seeds):
        (error,) = made.errors
        found.setdefault(edit.rule, set()).add((made.text, error.reference_span, error.candidate_span))
    return found


def texts(module, text, rule, seeds=8):
    """The candidates that one rule, with its aspect, makes of a report."""
    return {made for made, _, _ in candidates(module, text, seeds).get(rule, set())}


def spans(module, text, rule, seeds=8):
    """The spans of a rule's errors."""
    return {(before, after) for _, before, after in candidates(module, text, seeds).get(rule, set())}


def check_whole(module, text):
    """That a report carries edits of a module, and that no candidate looks edited."""
    made = errors(module, text)
    assert made
    for candidate in made:
        assert not blemishes(text, candidate), candidate
        assert text.isupper() == candidate.isupper()


def blemishes(text, made):
    """What no edit may leave behind: spaces, stops, articles and capitals that the reference had right."""
    return [pattern for pattern in (r"  ", r" [.,;]", r"\.\.", r"\ba [aeio]\w", r"\ban [bcdfgjklmnpqrstvwz]\w",
                                    r"\b(\w+) \1\b", r"(?:^|[.:] )[a-z]", r"[,;]\.", r"\b(?:of|the|in|at|on|a|an)[.,;]")
            if re.search(pattern, made) and not re.search(pattern, text)]  # fmt: skip


def sentences(text):
    """How many sentences a report has."""
    return len(documents.parse(text).sentences)
