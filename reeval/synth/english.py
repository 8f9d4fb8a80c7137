"""English that whoever writes or edits reports needs: articles, series, capitals."""

import re
from collections.abc import Sequence

_VOWEL = re.compile(r"(?!one\b|uni(?!n)|us[eu]|eu)[aeiou]|8|1[18]\b|(?:f|fr|icd|mm|mr[ia]?|ng|s|xr)\b", re.IGNORECASE)
# Initials that are spoken with a vowel first: an LUL opacity, an SVC filter.
_INITIALS = re.compile(r"[FHLMNRSX][A-Z]+\b")


def indefinite(words: str) -> str:
    """ "a" or "an", as the first word sounds; of text all in capitals give the lower case, or words look like
    initials."""
    return "an" if _VOWEL.match(words) or _INITIALS.match(words) else "a"


def series(words: Sequence[str], conjunction: str, oxford: bool = True) -> str:
    """ "a, b, or c", or without the last comma."""
    if len(words) < 2:
        return "".join(words)
    comma = "," if oxford and len(words) > 2 else ""
    return f"{', '.join(words[:-1])}{comma} {conjunction} {words[-1]}"


def capital(text: str) -> str:
    """With a capital first letter."""
    return text[:1].upper() + text[1:]
