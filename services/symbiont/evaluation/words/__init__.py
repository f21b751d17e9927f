"""The words of reports and verdicts, in English and Chinese."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.figures import PartDifference, SliceRow
from symbiont.evaluation.metrics.family import is_share
from symbiont.evaluation.rows import LENGTH
from symbiont.evaluation.words.metrics import METRICS
from symbiont.evaluation.words.reports import REPORTS
from symbiont.evaluation.words.verdicts import VERDICTS

Language = Literal["en", "zh"]
_PLACE = {"en": 0, "zh": 1}
_SENTENCES = VERDICTS | REPORTS


@dataclass(frozen=True)
class Phrases:
    """Words of one language."""

    language: Language

    def say(self, key: str, **parts: object) -> str:
        """Returns a sentence with its parts filled in."""
        return _SENTENCES[key][_PLACE[self.language]].format(**parts)

    def metric(self, name: str) -> str:
        """Returns what a metric is called; its own name where it has no other."""
        return METRICS[name][_PLACE[self.language]] if name in METRICS else name

    def number(self, metric: str, value: float) -> str:
        """Returns a value of a metric: shares in percent."""
        return f"{100 * value:.1f}%" if is_share(metric) else f"{value:.3f}"

    def of_100(self, share: float) -> str:
        """Returns how many of 100 a share is; near the ends with a digit more, so that few errors are not none."""
        many = 100 * share
        return f"{many:.1f}" if 0 < many < 1 or 99 < many < 100 else f"{many:.0f}"

    def difference(self, metric: str, value: float) -> str:
        """Returns a difference of a metric with its sign: of shares in points of a percentage."""
        signed = self.signed(metric, value)
        return self.say("points", value=signed) if is_share(metric) else signed

    def signed(self, metric: str, value: float) -> str:
        """Returns a difference without its unit; one that is 0 has no sign."""
        digits = 1 if is_share(metric) else 3
        rounded = round(100 * value if is_share(metric) else value, digits)
        return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"

    def slice(self, name: str) -> str:
        """Returns what a slice is called."""
        return self.say("length") if name == LENGTH else name

    def join(self, parts: Sequence[str], most: int) -> str:
        """Returns a list of parts, at most so many of them, and how many more there are."""
        listed = self.say("separator").join(parts[:most])
        return listed + (self.say("more", count=len(parts) - most) if len(parts) > most else "")

    def below(self, row: SliceRow) -> str:
        """Returns which slice it is, and what its metric is."""
        found = self.number(row.metric, row.estimate.value)
        return self.say("slice_below", slice=self.slice(row.slice), value=row.value, found=found, rows=row.rows)

    def fall(self, part: PartDifference) -> str:
        """Returns where and by how much a candidate is worse."""
        found = part.difference
        return self.say(
            "fall" if part.name else "class_fall",
            slice=self.slice(part.name),
            value=part.value,
            metric=self.metric(found.metric),
            by=self.difference(found.metric, found.gain.value),
            candidate=self.number(found.metric, found.candidate),
            incumbent=self.number(found.metric, found.incumbent),
            rows=part.rows,
        )


EN, ZH = Phrases("en"), Phrases("zh")


def phrases_for(language: str) -> Phrases:
    """Returns the words of a language.

    Raises:
        InvalidArgument: there are none.
    """
    for known in (EN, ZH):
        if known.language == language:
            return known
    raise InvalidArgument("language", f"{language!r} is not one of en, zh")
