"""A report's layout: prose, headings, lists, capitals, the spacing of real files."""

import dataclasses
import textwrap
from collections.abc import Iterable

from reeval.synth.generator.chance import Chance
from reeval.synth.generator.compose import Content, Statement
from reeval.synth.generator.pen import Pen
from reeval.synth.generator.study import Study

_STYLES = {"prose": 5, "headed": 6, "numbered": 4, "organs": 1.5, "impression_only": 2.5}
# Only held-out reports look like this.
_HELDOUT_STYLES = {"reversed": 1.5, "dashes": 1.5}
# Why the film was taken; elsewhere a clinic's reasons.
_SETTINGS = {"intensive_care": "ward", "line_check": "ward", "trauma": "injury"}
_LABELS = {
    "lungs": "Lungs",
    "lungs_last": "Lungs",
    "list": "Lungs",
    "pleura": "Pleura",
    "vessels": "Lungs",
    "heart": "Heart",
    "mediastinum": "Mediastinum",
    "diaphragm": "Diaphragm",
    "abdomen": "Upper abdomen",
    "bones": "Bones",
    "bones_last": "Bones",
    "soft": "Soft tissues",
    "devices": "Lines and tubes",
    "opening": "",
}


@dataclasses.dataclass(frozen=True)
class Style:
    """How a report looks. `gap` stands between two sentences; width: column of the line breaks, 0 for none."""

    name: str
    capitals: bool = False
    mask: str = ""
    gap: str = " "
    width: int = 0

    @property
    def headed(self) -> bool:
        return self.name not in ("prose", "plain", "impression_only")


def draw(split: str, chance: Chance) -> Style:
    """A style; the masks are those of de-identified reports."""
    name = chance.weighed({**_STYLES, **(_HELDOUT_STYLES if split == "heldout" else {})})
    mask = chance.weighed({"": 6, "___": 2.5, "XXXX": 1.5})
    capitals = chance.happens(0.08) and name != "organs"
    gap = "  " if chance.happens(0.1) else " "
    width = chance.whole(70, 82) if name in ("headed", "numbered") and chance.happens(0.18) else 0
    return Style(name, capitals, mask, gap, width)


def simple(chance: Chance) -> Style:
    """Prose for the short reports of a tiny judge."""
    return Style("plain", mask=chance.weighed({"": 8, "___": 1, "XXXX": 1}), capitals=chance.happens(0.03))


def lay_out(content: Content, style: Style, pen: Pen, study: Study) -> str:
    """The text of the report."""
    text = _text(content, style, pen, study)
    if style.mask == "XXXX":
        text = text.replace("x-ray", "x-XXXX")
    return text.upper() if style.capitals else text


def _text(content: Content, style: Style, pen: Pen, study: Study) -> str:
    chance = pen.chance
    body = style.gap.join(_sentences(content.findings))
    closing = style.gap.join(sentence for item in content.impression for sentence in item)
    if not closing and not style.headed:
        return body
    if style.name == "plain":
        return body + chance.pick((" ", " ", "\n")) + closing
    if style.name == "prose":
        # What repeats the findings needs a sign that it does.
        repeats = len(content.impression) > 1 or not any(n.organ == "impression" for n in content.normals)
        way = chance.weighed({"same": 0, "line": 2, "label": 4} if repeats else {"same": 5, "line": 3, "label": 2})
        return {
            "same": f"{body}{style.gap}{closing}",
            "line": f"{body}\n{closing}",
            "label": f"{body}\nImpression: {closing}",
        }[way]
    if style.name == "impression_only":
        text = f"{body}{style.gap}{closing}".strip()
        return f"IMPRESSION: {text}" if chance.happens(0.4) else text
    if style.name == "numbered" and len(content.impression) > 1:
        mark = chance.pick(("{}. ", "{}. ", "{}) "))
        items = [mark.format(n) + style.gap.join(item) for n, item in enumerate(content.impression, start=1)]
        closing = chance.pick(("\n", "\n", " ")).join(items)
    if style.name == "dashes":
        body = "\n".join(f"- {sentence}" for sentence in _sentences(content.findings))
        closing = "\n".join("- " + style.gap.join(item) for item in content.impression)
    if style.name == "organs":
        body = "\n".join(_by_organ(content.findings, chance.happens(0.6)))
    elif style.width:
        body, closing = (_wrapped(part, style.width) for part in (body, closing))
    return _headed(body, closing, style, pen, study)


def _headed(body: str, closing: str, style: Style, pen: Pen, study: Study) -> str:
    chance = pen.chance
    after = chance.pick((" ", " ", "\n", "\n"))
    if style.name in ("organs", "dashes"):
        after = "\n"
    between = chance.pick(("\n\n", "\n\n", "\n"))
    upper = chance.happens(0.85)
    parts = []
    if chance.happens(0.18):
        setting = "masked" if style.mask else _SETTINGS.get(study.scenario, "clinic")
        parts.append(("INDICATION", pen.write(f"closing.heading_indication.{setting}")))
    if chance.happens(0.2):
        parts.append(("TECHNIQUE", pen.write(f"closing.technique.{'portable' if study.portable else 'upright'}")))
    if chance.happens(0.3):
        case = "none" if not study.prior else "masked" if style.mask else "prior"
        parts.append(("COMPARISON", pen.write(f"closing.heading_comparison.{case}")))
    final = ("IMPRESSION", closing) if chance.happens(0.92) else ("CONCLUSION", closing)
    parts += [final, ("FINDINGS", body)] if style.name == "reversed" else [("FINDINGS", body), final]
    written = []
    for heading, words in parts:
        if words:
            name = heading if upper else heading.capitalize()
            gap = after if heading in ("FINDINGS", "IMPRESSION", "CONCLUSION") else " "
            written.append(f"{name}:{gap}{words}")
    return between.join(written)


def _sentences(statements: Iterable[Statement]) -> list[str]:
    return [sentence for statement in statements for sentence in statement.sentences]


def _by_organ(statements: Iterable[Statement], upper: bool) -> list[str]:
    grouped: dict[str, list[str]] = {}
    for statement in statements:
        grouped.setdefault(_LABELS[statement.organ], []).extend(statement.sentences)
    if "Pleura" not in grouped and "Lungs" in grouped and any("pleural" in text for text in grouped["Lungs"]):
        grouped = {("Lungs and pleura" if label == "Lungs" else label): said for label, said in grouped.items()}
    labels = {label: f"{label.upper() if upper else label}: " if label else "" for label in grouped}
    return [labels[label] + " ".join(said) for label, said in grouped.items()]


def _wrapped(text: str, width: int) -> str:
    lines = text.split("\n")
    return "\n".join(textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) for line in lines)
