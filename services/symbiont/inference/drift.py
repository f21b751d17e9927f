"""How far what classifiers answer in use is from what they answered on the rows that judged them."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Lock

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from symbiont.bundle import SCORE_BINS, Profile, score_bin
from symbiont.common.top import OTHER, Top
from symbiont.inference.results import Classification
from symbiont.inference.types import Served

MOST_MODELS = 20
# Labels of a model that are shown; the rest are "other". Drift is measured over all.
MOST_LABELS = 20
# With fewer on either side, drift is noise: a model that was judged by fewer rows is not watched.
LEAST_ROWS = 100
# When a window has so many rows all its counts are halved: it is about the last so many rows.
_WINDOW_ROWS = 2000
# A version that was asked nothing for so long is not told of: another may serve in its place, or it may be gone.
_TOLD_S = 3600.0
# One that is asked seldom goes on with its window after a night, and begins anew after this.
_KEPT_S = 86400.0
USED, JUDGED = "used", "judged"


def stability_index(before: Sequence[float], now: Sequence[float]) -> float:
    """Returns the population stability index of two histograms of counts, less what chance makes of it; 0 or more.

    sum((q - p) * ln(q / p)) over shares, half a row added to each count. Of samples of n and m rows from one
    distribution over b bins it is (b - 1) * (1/n + 1/m) in the mean (Yurdakul and Naranjo, Journal of Risk Model
    Validation 14, 2020). Bins that neither has do not count.
    """
    pairs = [(a + 0.5, b + 0.5) for a, b in zip(before, now, strict=True) if a or b]
    total_before, total_now = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    shares = [(a / total_before, b / total_now) for a, b in pairs]
    index = math.fsum((q - p) * math.log(q / p) for p, q in shares)
    return max(index - (len(pairs) - 1) * (1 / total_before + 1 / total_now), 0.0)


class Window:
    """What one version answered lately."""

    def __init__(self, profile: Profile, labels: Sequence[str]) -> None:
        self.profile = profile
        self.places = {label: place for place, label in enumerate(labels)}
        self.labels = [0.0] * len(labels)
        self.scores = [0.0] * SCORE_BINS
        self.rows = 0.0
        self.noted = 0.0

    def note(self, answered: Iterable[Classification], now: float) -> None:
        """Counts answers."""
        self.noted = now
        for each in answered:
            self.labels[self.places[each.decided.label]] += 1
            self.scores[score_bin(each.decided.probability)] += 1
            self.rows += 1
        if self.rows >= _WINDOW_ROWS:
            self.labels, self.scores = ([count / 2 for count in counts] for counts in (self.labels, self.scores))
            self.rows /= 2

    def copy(self) -> "Window":
        """Returns it as it is now."""
        copied = Window.__new__(Window)
        copied.__dict__ = {**self.__dict__, "labels": list(self.labels), "scores": list(self.scores)}
        return copied


class Drift(Collector):
    """Windows of the versions that are asked most, told when they are asked for; of those that were asked lately.

    Labels: `model` and `version`, of at most `MOST_MODELS`; `of` is `labels` or `scores`; `label` is a place in the
    bundle's list of labels, whose names are a customer's words, or `other`; `score` is where a tenth of 0 to 1 begins;
    `rows` is `used` or `judged`.
    """

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[str, Window] = {}
        self._top = Top(MOST_MODELS, left=self._forget, clock=clock)
        self._lock = Lock()
        registry.register(self)

    def note(self, served: Served, results: Sequence[object]) -> None:
        """Counts what a version answered, where it is known what it should be like."""
        version, bundle = served.version, served.bundle
        if not version.number or not bundle.profile or sum(bundle.profile.labels) < LEAST_ROWS:
            return
        name = f"{version.model}/{version.number}"
        with self._lock:
            if self._top.label(name, len(results)) == OTHER:
                return
            now = self._clock()
            if name not in self._windows or now - self._windows[name].noted > _KEPT_S:
                self._windows[name] = Window(bundle.profile, bundle.labels)
            self._windows[name].note((result for result in results if isinstance(result, Classification)), now)

    def _forget(self, name: str) -> None:
        self._windows.pop(name, None)

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._lock:
            since = self._clock() - _TOLD_S
            told = {name: window.copy() for name, window in self._windows.items() if window.noted >= since}
        windows = {tuple(name.rsplit("/", 1)): window for name, window in told.items()}
        version = ["model", "version"]
        rows = GaugeMetricFamily(
            "symbiont_inference_model_rows", "Rows in the window that drift is measured over.", labels=version
        )
        drift = GaugeMetricFamily(
            "symbiont_inference_model_drift",
            "Population stability index of the answers in use against those on the rows that judged the version.",
            labels=[*version, "of"],
        )
        labels = GaugeMetricFamily(
            "symbiont_inference_model_label_share",
            "Share of a label in the answers.",
            labels=[*version, "label", "rows"],
        )
        scores = GaugeMetricFamily(
            "symbiont_inference_model_score_share",
            "Share of the answers whose probability is in a tenth.",
            labels=[*version, "score", "rows"],
        )
        for key, window in windows.items():
            rows.add_metric(key, window.rows)
            if window.rows >= LEAST_ROWS:
                drift.add_metric([*key, "labels"], stability_index(window.profile.labels, window.labels))
                drift.add_metric([*key, "scores"], stability_index(window.profile.scores, window.scores))
            for side, of_labels, of_scores in (
                (USED, window.labels, window.scores),
                (JUDGED, window.profile.labels, window.profile.scores),
            ):
                for label, share in _shown(window.profile, _shares(of_labels)):
                    labels.add_metric([*key, label, side], share)
                for place, share in enumerate(_shares(of_scores)):
                    scores.add_metric([*key, f"{place / SCORE_BINS:.1f}", side], share)
        yield from (rows, drift, labels, scores)


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts) or 1.0
    return [count / total for count in counts]


def _shown(profile: Profile, shares: Sequence[float]) -> Iterator[tuple[str, float]]:
    """Yields the labels that were most frequent among the judged rows, and the rest as one."""
    places = sorted(range(len(shares)), key=lambda place: -profile.labels[place])
    for place in places[:MOST_LABELS]:
        yield str(place), shares[place]
    if places[MOST_LABELS:]:
        yield OTHER, sum(shares[place] for place in places[MOST_LABELS:])
