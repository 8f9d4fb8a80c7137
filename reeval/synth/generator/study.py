"""A study as a record: findings with their attributes, devices, prior; drawn so that it is medically coherent."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from reeval.synth.generator.banks import catalogue
from reeval.synth.generator.chance import Chance

OTHER_SIDE = {"left": "right", "right": "left"}
# What a nodule that is new or grows is not read as.
_STATIC = ("a granuloma", "a nipple shadow", "a vessel on end")
# An opacity there is not read as atelectasis.
_NOT_COLLAPSED = ("perihilar", "upper_zone", "upper_lobe")
_MANY = ("multiple", "several", "scattered")
_UNCERTAIN_DEGREES = ("", "tiny", "trace", "small", "minimal", "mild", "nondisplaced")


@dataclasses.dataclass
class Finding:
    """One abnormality. `reading` is the diagnosis it is read as, `hedge` how surely; `certainty` is its own."""

    kind: str
    name: str = ""  # its noun, where a report keeps to one
    side: str = ""  # left, right, bilateral
    place: str = ""  # key of [places]
    degree: str = ""
    count: str = ""
    size: str = ""  # with its unit
    change: str = "none"
    certainty: str = "definite"  # definite, probable, possible
    reading: str = ""
    hedge: str = ""  # definite, likely, possible, cause
    larger: str = ""  # side with more of a bilateral finding
    level: int = 0  # number of a rib or a thoracic vertebra

    @property
    def entry(self) -> Mapping[str, Any]:
        return catalogue("findings")["findings"][self.kind]

    @property
    def matters(self) -> bool:
        """Whether the impression must name it."""
        return self.entry["level"] != "benign"

    @property
    def denies(self) -> frozenset[str]:
        return frozenset() if self.change == "resolved" else frozenset(self.entry["denies"])


@dataclasses.dataclass
class Device:
    """One device. `advice` is what to do with a tip that is in the wrong place, else empty."""

    kind: str
    name: str
    side: str = ""
    tip: str = ""
    wrong: bool = False
    advice: str = ""
    move: int = 0  # cm by which the tip is to be moved
    change: str = "none"  # none, new, unchanged, removed


@dataclasses.dataclass
class Study:
    scenario: str
    findings: list[Finding]
    devices: list[Device]
    prior: bool
    portable: bool

    @property
    def denied(self) -> frozenset[str]:
        """Keys of the normal statements that its findings contradict."""
        return frozenset().union(*(finding.denies for finding in self.findings))


def draw(split: str, chance: Chance) -> Study:
    """A study; what is reserved for held-out reports occurs only there."""
    scenarios = {name: entry for name, entry in catalogue("scenarios").items() if name != "rules"}
    name = chance.weighed({name: entry["weight"] for name, entry in scenarios.items()})
    scenario = scenarios[name]
    study = Study(name, [], [], chance.happens(scenario["prior"]), chance.happens(scenario["portable"]))
    side = ""
    if "main" in scenario:
        main = _finding(_allowed(scenario["main"], split, chance), split, study.prior, chance)
        study.findings.append(main)
        side = main.side if scenario.get("same_side") else ""
        if name == "tension":
            _make_tension(main, study.prior, chance)
    for kind, probability in scenario.get("with", {}).items():
        if chance.happens(probability):
            _add(study, kind, split, side, chance)
    for probability in scenario["benign"]:
        if not chance.happens(probability):
            break
        _add(study, _allowed(catalogue("scenarios")["rules"]["benign"], split, chance), split, "", chance)
    _add_devices(study, scenario, split, chance)
    return study


def _allowed(weights: Mapping[str, float], split: str, chance: Chance) -> str:
    entries = catalogue("findings")["findings"]
    return chance.weighed({kind: w for kind, w in weights.items() if entries[kind].get("only", split) == split})


def _make_tension(main: Finding, prior: bool, chance: Chance) -> None:
    main.degree, main.certainty = "large", "definite"
    main.place = "sided"
    main.change = chance.pick(["none", "new", "increased"]) if prior else "none"
    main.size = f"{chance.whole(40, 75) / 10:.1f} cm" if chance.happens(0.3) else ""
    main.reading, main.hedge = "tension physiology", "possible"


def _add(study: Study, kind: str, split: str, side: str, chance: Chance) -> None:
    kinds = {finding.kind for finding in study.findings}
    groups = [group for group in catalogue("scenarios")["rules"]["exclusive"] if kind in group]
    if kind in kinds or any(kinds.intersection(group) for group in groups):
        return
    if any(kind in finding.reading for finding in study.findings):
        return  # an opacity that is read as atelectasis is not joined by another one
    finding = _finding(kind, split, study.prior, chance, side)
    if kind == "mediastinal_shift":
        # Air under pressure pushes the mediastinum away from its side.
        finding.side = OTHER_SIDE[side]
    study.findings.append(finding)


def _finding(kind: str, split: str, prior: bool, chance: Chance, side: str = "") -> Finding:
    entry = catalogue("findings")["findings"][kind]
    places = catalogue("findings")["places"]
    finding = Finding(kind, chance.pick(entry["nouns"]) if entry.get("one_name") else "")
    if prior:
        finding.change = chance.weighed(entry["changes"])
    if "counts" in entry:
        finding.count = _draw(entry, "counts", split, chance)
    if "sides" in entry:
        finding.side = side if side in entry["sides"] else chance.weighed(entry["sides"])
    if "places" in entry:
        fitting = {place: weight for place, weight in entry["places"].items() if _fits(places[place], finding.side)}
        finding.place = _draw({**entry, "places": fitting}, "places", split, chance)
        if finding.count in _MANY and chance.happens(entry["many"]["chance"]):
            finding.place, finding.side = entry["many"]["place"], entry["many"].get("side", finding.side)
    if finding.place == "mediastinal":
        finding.side = ""
    if "degrees" in entry:
        finding.degree = _draw(entry, "degrees", split, chance)
    if finding.degree == "acute" and finding.change == "unchanged":
        finding.change = "none"
    if "sizes" in entry and not finding.count and finding.degree in entry["sizes"]:
        low, high = entry["sizes"][finding.degree]
        if chance.happens(entry["size_chance"]):
            finding.size = _size(chance.whole(low, high), kind == "mass", chance)
    finding.level = chance.whole(4, 9)
    if finding.place == "vertebra":
        finding.level = chance.whole(5, 12)
    if kind == "effusion" and finding.side == "bilateral" and chance.happens(0.3):
        finding.larger = chance.pick(("left", "right"))
    if finding.change == "resolved":
        finding.larger = ""
        finding.degree = finding.size = finding.count = ""
    elif "readings" in entry and not finding.count and chance.happens(entry["reading_chance"]):
        finding.reading = chance.weighed(entry["readings"])
        if "atelectasis" in finding.reading and finding.place in _NOT_COLLAPSED:
            finding.reading = "pneumonia"
        if finding.change in ("new", "increased") and finding.reading in _STATIC:
            finding.reading = "malignancy"
        hedges = entry.get("hedges", {"definite": 2, "likely": 5, "possible": 4})
        finding.hedge = "cause" if finding.reading in entry.get("causes", ()) else chance.weighed(hedges)
    elif finding.change == "none" and _may_be_doubtful(finding):
        finding.certainty = chance.weighed({"definite": 8, "probable": 1, "possible": 1.2})
    return finding


def _may_be_doubtful(finding: Finding) -> bool:
    doubtful = catalogue("scenarios")["rules"]["doubtful"]
    return (
        finding.kind in doubtful
        and finding.degree in _UNCERTAIN_DEGREES
        and not finding.size + finding.larger + finding.count
    )


def _draw(entry: Mapping[str, Any], what: str, split: str, chance: Chance) -> str:
    reserved = entry.get("reserved", ()) if split != "heldout" else ()
    options = {key: weight for key, weight in entry[what].items() if key not in reserved}
    return chance.weighed(options or entry[what])


def _fits(place: Mapping[str, Any], side: str) -> bool:
    if side == "bilateral":
        return bool(place.get("both_adj") or place.get("both_at"))
    return "side" not in place or place["side"] == side


def _size(millimetres: int, two: bool, chance: Chance) -> str:
    if millimetres < 10 or (millimetres < 20 and chance.happens(0.6)):
        return f"{millimetres} mm"
    if two and chance.happens(0.35):
        return f"{millimetres / 10:.1f} x {millimetres * chance.whole(70, 95) / 1000:.1f} cm"
    return f"{millimetres / 10:.1f} cm"


def _add_devices(study: Study, scenario: Mapping[str, Any], split: str, chance: Chance) -> None:
    entries = catalogue("devices")
    wanted = [kind for kind, probability in scenario.get("devices", {}).items() if chance.happens(probability)]
    if "one_device" in scenario:
        wanted.insert(0, chance.pick(scenario["one_device"]))
    if split == "heldout" and not study.portable and chance.happens(0.01):
        wanted.append("gastric_band")
    for kind in wanted:
        if not {device.kind for device in study.devices} & set(entries[kind].get("excludes", ())):
            study.devices.append(_device(kind, study, scenario, chance))


def _device(kind: str, study: Study, scenario: Mapping[str, Any], chance: Chance) -> Device:
    entry = catalogue("devices")[kind]
    side = chance.weighed(entry["sides"]) if "sides" in entry else ""
    if kind == "chest_tube":
        drained = [f.side for f in study.findings if f.kind in ("pneumothorax", "effusion") and f.side in OTHER_SIDE]
        side = drained[0] if drained else side
    words = {"side": side, "other": OTHER_SIDE.get(side, "")}
    name = chance.pick(entry["names"])
    device = Device(kind, name.format(**words), side)
    if study.prior and not entry.get("inert"):
        device.change = chance.weighed(
            {"none": 4, "new": 2, "unchanged": 4, "removed": 0.6 if scenario.get("icu") else 0}
        )
    if device.change == "removed" or entry.get("tipped") is False:
        return device
    if "leads" in entry:
        device.tip = chance.pick(entry["leads"])
        device.change = "unchanged" if device.change == "unchanged" else "none"
        return device
    near, far = entry.get("near", 0.0), entry.get("far", 0.0)
    tip = chance.pick(entry["tips"])
    # What has been in a wrong place for long has been dealt with.
    if device.change != "unchanged" and chance.happens(entry.get("wrong_chance", 0)):
        tip, device.advice = chance.pick(entry["wrong"])
        near, far, device.wrong = entry.get("wrong_near", 0.0), entry.get("wrong_far", 0.0), True
    distance = near + chance.whole(0, int((far - near) * 10)) / 10
    written = str(round(distance)) if chance.happens(0.25) else f"{distance:.1f}"
    device.tip = tip.format(d=written, **words)
    if device.advice in ("retract", "advance"):
        device.move = chance.whole(*entry.get("moves", (2, 4)))
    return device
