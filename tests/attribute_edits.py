"""What the injectors of attributes make of hand-written reports, for their tests."""

import random
import re

from reeval.synth import document as documents
from reeval.synth.analysis import analyse
from reeval.synth.candidate import assemble


def candidates(module, text, seeds=8):
    """Rule -> the candidates it makes of a report, each with its error's spans: (candidate, reference span, candidate
    span)."""
    analysis = analyse(text)
    found = {}
    for seed in range(seeds):
        for edit in module.edits(analysis, random.Random(seed)):
            made = assemble(analysis.document, [edit])
            (error,) = made.errors
            assert made.text != text and error.severity == edit.severity
            assert error.reference_span in text and error.candidate_span in made.text
            assert (error.reference_span or error.type == "fabrication") and (
                error.candidate_span or error.type == "omission"
            )
            found.setdefault(edit.rule, set()).add((made.text, error.reference_span, error.candidate_span))
    return found


def texts(module, rule, text, seeds=8):
    """The candidates that one rule makes of a report."""
    return {made for made, _, _ in candidates(module, text, seeds).get(rule, set())}


def spans(module, rule, text, seeds=8):
    """The spans of a rule's errors."""
    return {(before, after) for _, before, after in candidates(module, text, seeds).get(rule, set())}


def blemishes(text, made):
    """What no edit may leave behind: spaces, articles and capitals that the reference had right."""
    found = [pattern for pattern in (r"  ", r" [.,;]", r"\ba [aeio]\w", r"\ban [bcdfgjklmnpqrstvwz]\w", r"\b(\w+) \1\b",
                                     r"(?:^|[.:] )[a-z]", r"[,;]\.", r"\b(?:of|the|in|at|on|a|an)[.,;]")
             if re.search(pattern, made) and not re.search(pattern, text)]  # fmt: skip
    before, after = (len(documents.parse(t).sentences) for t in (text, made))
    return found + ([f"{before} sentences became {after}"] if after > before or after < before - 1 else [])
