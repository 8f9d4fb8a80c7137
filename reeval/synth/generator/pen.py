"""A pen writes one report: it draws phrases of one split, and remembers which it has used."""

from collections.abc import Callable, Sequence

from reeval.synth.english import capital
from reeval.synth.generator.banks import phrases
from reeval.synth.generator.chance import Chance
from reeval.synth.generator.grammar import Template


class Pen:
    """`mask` stands where a name, a date or a prior stood ("___", "XXXX"); empty for a report without gaps."""

    def __init__(self, split: str, chance: Chance, mask: str = ""):
        self.chance = chance
        self.mask = mask
        self.oxford = chance.happens(0.6)
        self._phrases = phrases(split)
        self._used: set[str] = set()

    def has(self, key: str) -> bool:
        return key in self._phrases

    def choose(self, key: str) -> Template:
        """A template of the kind, rather one that has not been used."""
        return self._one_of(self._phrases[key])

    def choose_if(self, key: str, usable: Callable[[Template], bool]) -> Template | None:
        """The same of those that are usable; None if none is."""
        options = [template for template in self._phrases[key] if usable(template)]
        return self._one_of(options) if options else None

    def _one_of(self, options: Sequence[Template]) -> Template:
        fresh = [template for template in options if template.text not in self._used]
        template = self.chance.pick(fresh or options)
        self._used.add(template.text)
        return template

    def write(self, key: str, value: Callable[[str], str] | None = None) -> str:
        """A sentence of the kind; value(slot) fills what the pen does not know itself."""
        return capital(self.choose(key).fill(value or self.know))

    def know(self, slot: str) -> str:
        """What stands in a slot that has nothing to do with a finding."""
        if slot == "prior":
            key = "closing.prior_masked" if self.mask and self.chance.happens(0.6) else "frames.prior"
            return self.choose(key).fill(self.know)
        if slot == "mask":
            return self.mask
        if slot == "time":
            return f"{self.chance.whole(1, 12)}:{self.chance.whole(0, 59):02d} {self.chance.pick(('AM', 'PM'))}"
        if slot == "weeks":
            return self.chance.pick(("4-6", "6-8", "6", "8", "4 to 6", "6 to 8"))
        if slot == "hours":
            return self.chance.pick(("4", "6", "12", "24"))
        if slot == "turn":
            return self.chance.pick(("left", "right"))
        raise KeyError(slot)
