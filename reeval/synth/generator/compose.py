"""A study's statements in their order: what the findings say, what the impression says."""

import dataclasses

from reeval.synth.generator import devices_wording, impression, normals_wording, wording
from reeval.synth.generator.normals_wording import Normal
from reeval.synth.generator.pen import Pen
from reeval.synth.generator.study import Finding, Study

# Organs in the order of a body's statements.
_ORDERS = tuple(
    tuple(order.split())
    for order in (
        "lungs lungs_last pleura list vessels heart mediastinum diaphragm abdomen bones soft",
        "heart mediastinum vessels lungs lungs_last pleura list diaphragm bones abdomen soft",
        "heart mediastinum lungs pleura list lungs_last vessels soft bones diaphragm abdomen",
        "mediastinum heart vessels pleura lungs list lungs_last diaphragm soft bones abdomen",
    )
)
# Findings, devices and normal statements of a report's body.
_MOST_STATEMENTS = 10
# Findings that may share a sentence.
_TOGETHER = (
    ("effusion", "atelectasis"),
    ("pneumothorax", "subcutaneous_emphysema"),
    ("consolidation", "effusion"),
    ("opacity", "effusion"),
    ("atelectasis", "effusion"),
    ("hyperinflation", "scarring"),
)


@dataclasses.dataclass
class Statement:
    """Sentences about one thing, and the organ under which a list would put them."""

    organ: str
    sentences: list[str]


@dataclasses.dataclass
class Content:
    findings: list[Statement]
    impression: list[list[str]]
    normals: list[Normal]  # the normal statements that were made


def full(study: Study, pen: Pen, *, headed: bool, impression_only: bool) -> Content:
    """A report of usual length; where it has headings, the technique stands under one."""
    chance = pen.chance
    statements = _findings(study, pen)
    devices = [Statement("devices", devices_wording.describe(device, pen)) for device in study.devices]
    amounts = ((1, 3), (2, 5), (4, 8)) if study.findings else ((2, 3), (3, 5), (4, 8))
    low, high = chance.pick(amounts)
    room = max(1, _MOST_STATEMENTS - len(statements) - len(devices))
    normals = normals_wording.choose(study, pen, min(room, chance.whole(low, high)))
    closing: list[list[str]] = []
    if impression_only:
        normals = normals[: chance.whole(0 if study.findings else 1, 4)]
        last = normals_wording.summary(study, pen)
        closing = [[last.write(pen)]] if last is not None and chance.happens(0.75) else []
        normals += [last] if last is not None and closing else []
    else:
        closing, last = impression.write(study, pen)
        normals += [last] if last is not None else []
    made = [normal for normal in normals if normal.organ != "impression"]
    statements += [Statement(normal.organ, [normal.write(pen)]) for normal in made]
    order = chance.pick(_ORDERS)
    statements.sort(key=lambda statement: _rank(order, statement.organ))
    statements = devices + statements if study.portable or chance.happens(0.2) else statements + devices
    opening = [] if impression_only else _opening(study, pen, headed)
    return Content([*opening, *statements], closing, normals)


def _findings(study: Study, pen: Pen) -> list[Statement]:
    """Two plain findings of the same side may share a sentence."""
    said: list[Statement] = []
    pending = list(study.findings)
    while pending:
        finding = pending.pop(0)
        partners = [other for other in pending if _go_together(finding, other)]
        if partners and pen.chance.happens(0.5):
            pending.remove(partners[0])
            sentences = wording.describe_both(finding, partners[0], pen)
        else:
            sentences = wording.describe(finding, pen)
        said.append(Statement(finding.entry["organ"], sentences))
    return said


def _go_together(finding: Finding, other: Finding) -> bool:
    both = (finding.kind, other.kind)
    return both in _TOGETHER and finding.side == other.side and wording.plain(finding) and wording.plain(other)


def _rank(order: tuple[str, ...], organ: str) -> float:
    return order.index("bones") + 0.5 if organ == "bones_last" else order.index(organ)


def _opening(study: Study, pen: Pen, headed: bool) -> list[Statement]:
    chance = pen.chance
    said = []
    if not headed and chance.happens(0.2):
        said.append(
            Statement("opening", [pen.write(f"closing.technique.{'portable' if study.portable else 'upright'}")])
        )
    if not headed and study.prior and chance.happens(0.2):
        said.append(
            Statement("opening", [pen.write("closing.comparison_masked" if pen.mask else "closing.comparison")])
        )
    if chance.happens(0.12 if study.portable else 0.03):
        said.append(Statement("opening", [pen.write("closing.quality")]))
    return said


def limited(study: Study, pen: Pen, low: int, high: int) -> Content:
    """low to high sentences, the study cut down to what they can hold; its summary, if any, comes last."""
    chance = pen.chance
    target = chance.whole(low, high)
    # What matters most is kept, in the order of the study.
    keep = max(1, min(target, 2 if target < 4 else target - 2))
    weighty = sorted(study.findings, key=lambda finding: not finding.matters)[:keep]
    shift = [finding for finding in study.findings if finding.kind == "mediastinal_shift"]
    if shift and shift[0] not in weighty and keep > 1:
        weighty[-1] = shift[0]
    study.findings[:] = [finding for finding in study.findings if finding in weighty]
    room = keep - len(study.findings)
    study.devices[:] = sorted(study.devices, key=lambda device: not device.wrong)[: min(room, 2)]
    statements = [Statement(f.entry["organ"], wording.describe(f, pen, follow=False)) for f in study.findings]
    statements += [
        Statement("devices", devices_wording.describe(device, pen, follow=False)) for device in study.devices
    ]
    used = sum(len(statement.sentences) for statement in statements)
    last = normals_wording.summary(study, pen) if used < target and chance.happens(0.5) else None
    normals = normals_wording.choose(study, pen, target - used - (last is not None))
    order = (*chance.pick(_ORDERS), "devices")
    statements += [Statement(normal.organ, [normal.write(pen)]) for normal in normals]
    statements.sort(key=lambda statement: _rank(order, statement.organ))
    closing = [[last.write(pen)]] if last is not None else []
    return Content(statements, closing, normals + ([last] if last is not None else []))
