"""Devices in words."""

from collections.abc import Callable

from reeval.synth.generator.banks import catalogue
from reeval.synth.generator.grammar import Phrase, agreeing
from reeval.synth.generator.pen import Pen
from reeval.synth.generator.study import Device

_TUBES = ("ett", "ng", "dobhoff", "chest_tube", "tracheostomy")


def describe(device: Device, pen: Pen, *, follow: bool = True) -> list[str]:
    """The sentence about a device, and what is said of its position."""
    entry = catalogue("devices")[device.kind]
    value = _filler(device, pen)
    if device.change == "removed":
        return [pen.write("devices.removed", value)]
    if not device.tip:
        kinds = {"sternotomy": "devices.intact", "monitor_leads": "devices.overlying"}
        key = kinds.get(device.kind, "devices.inert")
        return [pen.write("devices.inert" if key == "devices.intact" and pen.chance.happens(0.4) else key, value)]
    if "leads" in entry:
        return [pen.write("devices.leads_unchanged" if device.change == "unchanged" else "devices.leads", value)]
    key = {"none": "devices.tip", "new": "devices.tip_new", "unchanged": "devices.tip_unchanged"}[device.change]
    said = [pen.write(key, value)]
    if device.wrong and follow:
        if pen.chance.happens(0.3) and device.advice != "none":
            said.append(pen.write("devices.wrong"))
        if device.advice != "none" and pen.chance.happens(0.5):
            said.append(pen.write(f"devices.advice.{device.advice}", value))
    elif follow and device.kind in ("ett", "picc", "ng", "central_line") and pen.chance.happens(0.06):
        said.append(pen.write("devices.good"))
    return said


def conclude(device: Device, pen: Pen) -> list[str]:
    """What an impression says of a device with a tip."""
    value = _filler(device, pen)
    said = [pen.write("devices.stance.wrong" if device.wrong else "devices.stance.good", value)]
    if device.advice not in ("", "none") and pen.chance.happens(0.7):
        said.append(pen.write(f"devices.advice.{device.advice}", value))
    return said


def _filler(device: Device, pen: Pen) -> Callable[[str], str]:
    entry = catalogue("devices")[device.kind]
    many = bool(entry.get("plural"))
    phrase = Phrase(device.name, "many" if many else "mass" if entry.get("mass") else "one")
    lead = "lead" if entry.get("one_lead") else "leads"

    def value(slot: str) -> str:
        words = slot.split()
        if words[-1] == "name":
            return phrase.with_article(words[0] if words[0] in ("a", "the") else "")
        agreed = agreeing(slot, many)
        if agreed is not None:
            return agreed
        if slot == "tip":
            return device.tip
        if slot == "leads_word":
            return lead
        if slot == "lead_s":
            return "s" if lead == "lead" else ""
        if slot == "short":
            return "tube" if device.kind in _TUBES else "catheter"
        if slot == "cm":
            return str(device.move)
        return pen.know(slot)

    return value
