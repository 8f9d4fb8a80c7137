"""What is normal, in words: statements whose claims no finding denies."""

import dataclasses

from reeval.synth.english import series
from reeval.synth.generator.banks import normals, terms
from reeval.synth.generator.pen import Pen
from reeval.synth.generator.study import Study
from reeval.synth.generator.wording import clear_side

# Findings beside which the rest of the lungs may be called clear.
_CONFINED = {
    "granuloma", "scarring", "nodule", "atelectasis", "mass", "cavity", "opacity", "consolidation", "pneumonia",
    "hyperinflation", "low_volumes",
}  # fmt: skip
_DISEASE = {"opacity", "consolidation", "pneumonia"}
_HARDWARE = ("spinal_hardware", "shoulder_arthroplasty")


@dataclasses.dataclass(frozen=True)
class Normal:
    """A normal statement to be made; `absent` are the keys of the terms in a list."""

    kind: str
    organ: str
    claims: frozenset[str]
    absent: tuple[str, ...] = ()
    side: str = ""

    def write(self, pen: Pen) -> str:
        if not self.absent:
            return pen.write(f"normals.{self.kind}", lambda slot: self.side if slot == "clear_side" else pen.know(slot))
        names = [pen.chance.pick(terms()[key]) for key in self.absent]
        if "pleural" in " ".join(names[1:]) and names[0] == "effusion":
            names[0] = "pleural effusion"
        listed = series(names, "or", pen.oxford)
        return pen.write("normals.absent", lambda slot: listed if slot == "list" else pen.know(slot))


def denied(study: Study) -> frozenset[str]:
    """Keys of the normal statements that findings or devices contradict."""
    found = set(study.denied)
    if any(device.kind in _HARDWARE for device in study.devices):
        found.add("bones")
    present = [finding for finding in study.findings if finding.change != "resolved"]
    lungs = {finding.kind for finding in present if finding.entry["organ"] == "lungs"}
    if not lungs or not lungs <= _CONFINED or any(f.kind in ("edema", "congestion") for f in present):
        found.add("otherwise")
    if not clear_side(study.findings):
        found.add("other_lung")
    if not study.prior:
        found.add("stable_heart")
    old = lungs & _DISEASE and all(f.change in ("unchanged", "decreased") for f in present if f.kind in _DISEASE)
    if not (study.prior and old):
        found.add("no_new")
    return frozenset(found)


def choose(study: Study, pen: Pen, amount: int) -> list[Normal]:
    """Up to `amount` normal statements in the order of their weight, none of which repeats another."""
    chance, barred = pen.chance, denied(study)
    wanted: list[tuple[str, tuple[str, ...]]] = []
    lungs = chance.weighed({"clear": 5, "list": 4, "both": 2})
    rest = [key for key in ("effusion", "pneumothorax") if key not in barred]
    if chance.happens(0.5):
        rest.reverse()
    full = [key for key in ("consolidation", *rest) if key not in barred]
    if lungs == "list" and chance.happens(0.15):
        full += [chance.pick([key for key in ("edema", "vessels", "nodule") if key not in barred] or full or ["edema"])]
        full = [key for key in dict.fromkeys(full) if key not in barred]
    if lungs != "list" and "lungs" not in barred and "volumes" not in barred:
        wanted.append(("lungs_clear", ()))
        lists = [tuple(full)] if lungs == "both" else [tuple(rest)]
    else:
        lists = [tuple(full)]
    if chance.happens(0.2):
        lists = [(key,) for group in lists for key in group]
    wanted += [("absent", group) for group in lists if group]
    keys = {"lungs_otherwise": "otherwise", "other_lung": "other_lung", "no_new": "no_new"}
    free = [kind for kind, key in keys.items() if key not in barred]
    if free and chance.happens(0.6):
        wanted.insert(0, (chance.pick(free), ()))
    hearts = ["heart_mediastinum"] if chance.happens(0.5) else ["heart", "mediastinum"]
    if "stable_heart" not in barred and chance.happens(0.2):
        hearts = ["stable_heart"]
    elif {"heart", "mediastinum"} & barred or not chance.happens(0.75):
        hearts = ["heart", chance.pick(("mediastinum", "mediastinum_hila"))]
    bones = chance.pick(("bones", "acute_bone", "acute_bone", "no_fracture"))
    if "bones" in barred:
        bones = "acute_bone"
    wanted += [(kind, ()) for kind in hearts]
    minor = chance.shuffled(("vessels", bones, bones, "hila", "no_free_air", "trachea", "soft_tissues", "diaphragm"))
    if chance.happens(0.5):
        minor = [bones, *minor]
    wanted += [(kind, ()) for kind in dict.fromkeys([*minor, "acute_bone", "upper_abdomen", "mediastinum"])]
    chosen: list[Normal] = []
    claimed: set[str] = set()
    for kind, absent in wanted:
        organ, claims = normals()[kind]
        claims = frozenset(absent) if absent else claims
        # A list may repeat that there is no consolidation where the lungs are clear; else nothing is said twice.
        if len(chosen) < amount and not claims & barred and (absent or not claims & claimed):
            side = clear_side(study.findings) if kind == "other_lung" else ""
            chosen.append(Normal(kind, organ, claims, absent, side))
            claimed |= claims
    return chosen


def summary(study: Study, pen: Pen) -> Normal | None:
    """The words that close a study in which nothing asks for action; None where one cannot say so."""
    if "acute" in denied(study) or any(finding.matters and finding.change != "resolved" for finding in study.findings):
        return None
    if any(device.wrong for device in study.devices):
        return None
    kinds = ["summary"] * 4
    if not study.findings and not study.devices:
        kinds += ["summary_normal"]
    changes = {finding.change for finding in study.findings} | {device.change for device in study.devices}
    if study.prior and changes <= {"none", "unchanged"}:
        kinds += ["summary_stable"]
    kind = pen.chance.pick(kinds)
    return Normal(kind, *normals()[kind])
