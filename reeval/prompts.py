"""Prompts: a pair as chat messages, in versions that never change once published.

A prompt has a first user turn for each mode and, for two-pass, the second user turn. The instructions come first
and the reports last, so that all pairs of a run share the longest possible prefix; an image stands between the two.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from reeval import taxonomy, verdicts
from reeval.pairs import Pair
from reeval.verdicts import Verdict

MODES = ("one_pass", "two_pass")
# "role" and "content": a text, or a list of parts as chat templates take them.
Message = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Prompt:
    """The words of a version. The first turn of a mode is `instructions[mode]` and `reports[mode]`.

    Only `reports` differ from pair to pair: they are formatted with `reference` and `candidate`. `image` leads to an
    image, where the judge is given one, and ends the instructions.
    """

    version: str
    system: str | None
    instructions: Mapping[str, str]
    image: str
    reports: Mapping[str, str]
    second: str


_REPORTS = "Reference report:\n{reference}\n\nCandidate report:\n{candidate}"

_CLINICAL = f"""You compare a candidate chest X-ray report with the reference report of the same study.
List every difference in content, in the order of the candidate, omissions last. Other words, another order or \
another layout for the same content are no difference.

Each difference has a type:
- omission: the reference says it, the candidate does not.
- fabrication: the candidate says it, the reference does not.
- inaccuracy: both speak of it, and they differ.
and an aspect:
{chr(10).join(f"- {aspect}: {definition}" for aspect, definition in taxonomy.DEFINITIONS.items())}

Quote the words concerned from each report, or "" where a report has none.
"""

_SEVERITY = """significant: likely to affect treatment, management or outcome, such as a wrong side, a lost or \
invented urgent or actionable finding, a change of urgency, a lesion measured beyond the usual variation.
insignificant: no effect on the patient, such as neighbouring sites, small against tiny, likely against probable, \
normal statements left out, typos."""

_CLINICAL_ONE = f"""{_CLINICAL}Judge how much each difference matters:
{_SEVERITY}

Answer with one line a difference and nothing else:
type | aspect | "words of the reference" => "words of the candidate" | significant or insignificant
If there is no difference, answer: {verdicts.NONE}
"""

_CLINICAL_TWO = f"""{_CLINICAL}
Answer with one line a difference and nothing else:
type | aspect | "words of the reference" => "words of the candidate"
If there is no difference, answer: {verdicts.NONE}
"""

_CLINICAL_SECOND = f"""Now judge how much each difference matters:
{_SEVERITY}

Answer with one word a line, significant or insignificant, for each difference in the same order, and nothing else."""

PROMPTS: Mapping[str, Prompt] = {
    prompt.version: prompt
    for prompt in (
        Prompt(
            version="clinical-2",
            system=None,
            instructions={"one_pass": f"{_CLINICAL_ONE}\n", "two_pass": f"{_CLINICAL_TWO}\n"},
            image="The image of the study that both reports describe:",
            reports=dict.fromkeys(MODES, _REPORTS),
            second=_CLINICAL_SECOND,
        ),
        # For the embedded judge, which has no use for instructions and pays for every token.
        Prompt(
            version="compact-1",
            system=None,
            instructions=dict.fromkeys(MODES, ""),
            image="image:",
            reports={
                "one_pass": "reference: {reference}\ncandidate: {candidate}\nerrors and severities:",
                "two_pass": "reference: {reference}\ncandidate: {candidate}\nerrors:",
            },
            second="severities:",
        ),
    )
}


def prompt(version: str) -> Prompt:
    """The prompt of a version. Raises ValueError."""
    if version not in PROMPTS:
        raise ValueError(f"prompt version {version!r} is unknown; there are {', '.join(PROMPTS)}")
    return PROMPTS[version]


def first_messages(version: str, mode: str, pair: Pair, *, image: bool = False) -> list[Message]:
    """The messages before a judge's first answer.

    Args:
        image: whether the judge is given the pair's image; the user's content is then a list of parts.
    """
    chosen = prompt(version)
    instructions = chosen.instructions[mode]
    # Replaced one by one: a report may hold braces.
    before, after = chosen.reports[mode].split("{reference}")
    middle, end = after.split("{candidate}")
    reports = f"{before}{pair.reference.strip()}{middle}{pair.candidate.strip()}{end}"
    content: str | list[dict[str, str]] = instructions + reports
    if image:
        first, last = instructions + chosen.image, reports
        content = [{"type": "text", "text": first}, {"type": "image"}, {"type": "text", "text": last}]
    system = [] if chosen.system is None else [{"role": "system", "content": chosen.system}]
    return [*system, {"role": "user", "content": content}]


def second_message(version: str) -> Message:
    """The user's second turn of two-pass."""
    return {"role": "user", "content": prompt(version).second}


def gold_answers(mode: str, verdict: Verdict) -> list[str]:
    """What the judge should answer, one text a turn; two-pass has no second turn where there is no error."""
    if mode == "one_pass":
        return [verdicts.render(verdict)]
    second = [verdicts.render_severities(verdict)] if verdict.errors else []
    return [verdicts.render_spans(verdict), *second]
