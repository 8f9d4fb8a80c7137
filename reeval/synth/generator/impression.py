"""The impression: what matters again in short, the diagnosis, advice, messages, and a closing summary."""

from reeval.synth.english import capital
from reeval.synth.generator import devices_wording, normals_wording
from reeval.synth.generator.pen import Pen
from reeval.synth.generator.study import Finding, Study
from reeval.synth.generator.wording import FindingWords, fits, hedge, noun_phrase, plain

_ADVICE = {
    "nodule": ("nodule", 0.6),
    "cavity": ("nodule", 0.5),
    "mass": ("mass", 0.6),
    "adenopathy": ("nodule", 0.35),
    "hilar_enlargement": ("nodule", 0.35),
    "consolidation": ("pneumonia", 0.4),
    "opacity": ("pneumonia", 0.25),
    "pneumonia": ("pneumonia", 0.4),
    "widened_mediastinum": ("mediastinum", 0.6),
    "free_air": ("free_air", 0.5),
    "lytic_lesion": ("bone", 0.4),
    "rib_fracture": ("bone", 0.1),
    "pneumothorax": ("pneumothorax", 0.3),
    "effusion": ("effusion", 0.12),
}
# A nodule that asks for no follow-up in most patients.
_SMALL = ("4 mm", "5 mm")
_LUNG_DISEASE = ("consolidation", "opacity", "pneumonia")
_TUBES = ("ett", "ng", "dobhoff", "central_line", "picc", "chest_tube")


def write(study: Study, pen: Pen) -> tuple[list[list[str]], normals_wording.Normal | None]:
    """The items, each one or more sentences, and the summary among them."""
    chance = pen.chance
    named = [finding for finding in study.findings if finding.matters]
    minor = [finding for finding in study.findings if not finding.matters]
    if minor and chance.happens(0.5 if named else 0.45):
        named.append(chance.pick(minor))
    named.sort(key=lambda finding: ("urgent", "action", "benign").index(finding.entry["level"]))
    items: list[list[str]] = []
    pending = list(named)
    while pending:
        finding = pending.pop(0)
        partner = pending[0] if pending else None
        if partner is not None and plain(finding) and plain(partner) and chance.happens(0.4):
            pending.pop(0)
            items.append([_together(finding, partner, pen), *_advice(partner, study, pen)])
        else:
            items.append([_restated(finding, pen), *_advice(finding, study, pen)])
    for device in study.devices:
        if device.wrong or (
            device.kind in _TUBES and device.tip and device.change != "removed" and chance.happens(0.25)
        ):
            items.append(devices_wording.conclude(device, pen))
    closing = normals_wording.summary(study, pen)
    if closing is not None:
        at = len(items) if named or chance.happens(0.5) else 0
        items.insert(0 if chance.happens(0.5) else at, [closing.write(pen)])
    elif chance.happens(0.2):
        items.append([pen.write("normals.summary_otherwise")])
    elif chance.happens(0.08):
        items.append([pen.write("closing.advice.generic")])
    urgent = [f for f in study.findings if f.entry["level"] == "urgent" and f.change in ("none", "new", "increased")]
    wrong = any(device.wrong for device in study.devices)
    if (urgent and chance.happens(0.6)) or (wrong and chance.happens(0.4)):
        items.append([pen.write("closing.message.masked" if pen.mask else "closing.message.plain")])
    return items, closing


def _together(finding: Finding, partner: Finding, pen: Pen) -> str:
    other = noun_phrase(partner, pen, place="before").text
    words = FindingWords(finding, pen, before=True)
    template = pen.choose("closing.impression.two")
    return capital(template.fill(lambda slot: other if slot == "other" else words(slot)))


def _restated(finding: Finding, pen: Pen) -> str:
    chance = pen.chance
    key = "plain" if finding.change == "none" else finding.change
    if finding.change == "unchanged" and chance.happens(0.25):
        key = "plain"
    if finding.certainty != "definite":
        key = finding.certainty
    noun = ""
    if finding.reading in finding.entry.get("as_noun", ()) and chance.happens(0.6):
        noun, key = finding.reading, f"diagnosis_{hedge(finding, pen)}"
    size = finding.size if finding.size and finding.entry.get("size_adjective") and chance.happens(0.6) else ""
    words = FindingWords(finding, pen, size="" if noun else size, before=True, noun=noun)
    tail = ""
    full = bool(finding.reading) and not noun
    kind = f"closing.impression.{key}"
    template = pen.choose_if(kind, lambda option: not full or option.text.endswith("np}.")) or pen.choose(kind)
    assert noun or fits(template, finding)
    if full and template.text.endswith("np}."):
        words.many = False
        tail = pen.choose(f"frames.reading_tail.{hedge(finding, pen)}").fill(words)
    return words.sentence(template, tail)


def _advice(finding: Finding, study: Study, pen: Pen) -> list[str]:
    chance = pen.chance
    if finding.change in ("resolved", "decreased") or finding.kind not in _ADVICE:
        return []
    key, probability = _ADVICE[finding.kind]
    if study.scenario == "tension" and finding.kind == "pneumothorax":
        key, probability = "tension", 0.7
    if finding.kind in _LUNG_DISEASE and (
        study.scenario == "intensive_care" or "pneumonia" not in finding.reading + finding.kind
    ):
        return []
    if finding.size in _SMALL and finding.kind == "nodule":
        return []
    if finding.kind in ("nodule", "hilar_enlargement", "adenopathy") and finding.change == "unchanged":
        return []
    return [pen.write(f"closing.advice.{key}")] if chance.happens(probability) else []
