"""The parts of the page, each a heading with what is below it; a part with nothing to say is left out."""

from collections.abc import Iterator, Mapping

from symbiont.evaluation.drawing import confusion, intervals, pictures
from symbiont.evaluation.figures import ClassRow, ComparisonFigures, Difference, Estimate, Origin, Reliability
from symbiont.evaluation.metrics.family import direction
from symbiont.evaluation.page.headline import sentences
from symbiont.evaluation.page.html import Html, element, join, table
from symbiont.evaluation.report import Report
from symbiont.evaluation.words import Phrases

MOST_CLASSES = 30
NAMED = 3
MOST_GAINS = 12
# Of the expected calibration error: as good as honest; and too little to speak of in one direction.
HONEST = 0.03
_QUOTED = 160


def _section(title: str, *parts: str) -> Html:
    return element("section", element("h2", title), *(part for part in parts if part))


def _figure(picture: str) -> Html:
    return element("figure", Html(picture))


def _p(*parts: str) -> Html:
    return element("p", *parts)


def in_short(report: Report, phrases: Phrases) -> Html:
    """What it is worth."""
    head = [phrases.say("metric"), phrases.say("value"), phrases.say("between", confidence=f"{report.confidence:.0%}")]
    rows = [
        [
            phrases.metric(line.metric),
            phrases.number(line.metric, line.estimate.value),
            _range(line.metric, line.estimate, phrases),
        ]
        for line in report.headlines
    ]
    said = list(sentences(report, phrases)) or [phrases.say("nothing_known")]
    text = [element("p", said[0], class_="lead"), *map(_p, said[1:])]
    return _section(phrases.say("in_short"), *text, table(head, rows, 2))


def _range(metric: str, found: Estimate, phrases: Phrases) -> str:
    return phrases.say("range", low=phrases.number(metric, found.low), high=phrases.number(metric, found.high))


def compared(report: Report, phrases: Phrases) -> Html:
    """What is better and worse than what serves now."""
    if report.comparison is None:
        return Html("")
    return _section(phrases.say("compared"), *_differences(report.comparison, phrases))


def rules(report: Report, phrases: Phrases) -> Html:
    """Whether the rules for taking over are kept."""
    if report.verdict is None:
        return Html("")
    lines = []
    for result in report.verdict.results:
        word = element("b", phrases.say("kept" if result.passed else "broken"))
        said = element("span", f" {result.words[phrases.language]}")
        lines.append(element("li", word, said, class_="good" if result.passed else "bad"))
    return _section(phrases.say("rules"), element("ul", *lines, class_="rules"))


def _differences(found: ComparisonFigures, phrases: Phrases) -> Iterator[Html]:
    if found.differences:
        first = found.differences[0]
        one, other = (phrases.number(first.metric, value) for value in (first.candidate, first.incumbent))
        metric = phrases.metric(first.metric)
        key = "is_better" if first.gain.low > 0 else "is_worse" if first.gain.high < 0 else "is_like"
        said = phrases.say("compared_on", rows=f"{found.rows:,}", metric=metric, candidate=one, incumbent=other)
        yield element("p", element("b", phrases.say(key)))
        yield _p(said)
    if found.mcnemar:
        test = found.mcnemar
        p = f"{test.p_value:.3f}" if test.p_value >= 0.001 else "< 0.001"
        yield _p(phrases.say("mcnemar", one=test.only_candidate, other=test.only_incumbent, p=p))
    if found.only_candidate_rows or found.only_incumbent_rows:
        yield _p(phrases.say("left_out", one=found.only_candidate_rows, other=found.only_incumbent_rows))
    head = [phrases.say(key) for key in ("metric", "this_version", "serving", "gain")]
    rows = [[phrases.metric(part.metric), *_gain(part, phrases)] for part in found.differences]
    yield table(head, rows, 3)
    if found.slices:
        yield element("h3", phrases.say("gains_by_part"))
        yield _figure(intervals.gains(found, phrases))
    yield from _class_gains(found, phrases)


def _class_gains(found: ComparisonFigures, phrases: Phrases) -> Iterator[Html]:
    changed = sorted(found.classes, key=lambda part: part.difference.gain.value)
    shown = changed[:MOST_GAINS]
    if not shown:
        return
    metric = shown[0].difference.metric
    key = "gains_by_class" if len(shown) == len(changed) else "gains_by_class_least"
    yield element("h3", phrases.say(key, metric=phrases.metric(metric), count=len(shown), all=len(changed)))
    head = [phrases.say(key) for key in ("class", "texts", "this_version", "serving", "gain")]
    rows = [[part.value, f"{part.rows:,}", *_gain(part.difference, phrases)] for part in shown]
    yield table(head, rows, 4)


def _gain(found: Difference, phrases: Phrases) -> tuple[str, str, str]:
    """Returns the cells of both versions' values and of the gain."""
    name, gain = found.metric, found.gain
    one, other = (phrases.number(name, value) for value in (found.candidate, found.incumbent))
    ends = phrases.say("range", low=phrases.signed(name, gain.low), high=phrases.signed(name, gain.high))
    return one, other, f"{phrases.difference(name, gain.value)} ({ends})"


def weak(report: Report, phrases: Phrases) -> Html:
    """On which texts and classes it is weak."""
    overall = report.headline(report.primary)
    parts: list[str] = []
    if report.slices and overall:
        better = direction(report.primary)
        below = [row for row in report.worst if better * (row.estimate.value - overall.estimate.value) < 0]
        for place, row in enumerate(below[:NAMED]):
            words = {"slice": phrases.slice(row.slice), "value": row.value, "metric": phrases.metric(row.metric)}
            words["found"] = phrases.number(row.metric, row.estimate.value)
            words["overall"] = phrases.number(row.metric, overall.estimate.value)
            parts.append(element("li", phrases.say("worst_next" if place else "worst", rows=row.rows, **words)))
        parts = [element("ul", *parts)] if parts else []
        parts.append(_figure(intervals.slices(report.slices, overall.estimate.value, phrases, better)))
    else:
        parts.append(_p(phrases.say("no_slices")))
    return _section(phrases.say("weak"), *parts, *_classes(report, phrases))


def _classes(report: Report, phrases: Phrases) -> Iterator[Html]:
    if not report.classes:
        return
    shown = sorted(report.classes, key=lambda row: 2.0 if row.f1 is None else row.f1)[:MOST_CLASSES]
    key = "classes" if len(shown) == len(report.classes) else "classes_weakest"
    yield element("h3", phrases.say(key, count=len(shown), all=len(report.classes)))
    yield _p(phrases.say("classes_help"))
    names = ["precision", "recall", "f1", "average_precision", "best_threshold"]
    names = [name for name in names if any(getattr(row, name) is not None for row in shown)]
    head = [phrases.say("class"), phrases.say("support"), phrases.say("said"), *map(phrases.say, names)]
    rows = [[row.label, f"{row.support:,}", f"{row.predicted:,}", *_cells(row, names, phrases)] for row in shown]
    yield table(head, rows, len(head) - 1)


def _cells(row: ClassRow, names: list[str], phrases: Phrases) -> Iterator[str]:
    for name in names:
        value = getattr(row, name)
        yield "–" if value is None else phrases.number(name, value)


def confused(report: Report, phrases: Phrases) -> Html:
    """Which classes are taken for which."""
    parts: list[str] = []
    if report.outcome == "classified" and report.rows:
        first = report.confusions[0] if report.confusions else None
        words = {"truth": first.truth, "predicted": first.predicted, "rows": first.rows} if first else {}
        parts.append(_p(phrases.say("confused" if first else "no_confusions", **words)))
        if report.matrix:
            labels = [row.label for row in report.classes]
            parts.append(_figure(confusion.heat_map(labels, report.matrix, phrases)))
        elif first:
            parts.append(_figure(confusion.pairs(report.confusions, phrases)))
    return _section(phrases.say("confusions"), *parts) if parts else Html("")


def detail(report: Report, phrases: Phrases) -> Html:
    """How right is bought with how many, or what was said of numbers."""
    if report.curves:
        return _section(phrases.say("curves"), _figure(pictures.precision_recall(report.curves, phrases)))
    if report.scatter:
        return _section(phrases.say("scatter"), _figure(pictures.scatter(report.scatter, phrases)))
    return Html("")


def decided(report: Report, phrases: Phrases) -> Html:
    """What it costs to decide by it, where costs were given."""
    found = report.decisions
    if found is None:
        return Html("")
    text = [phrases.say("decided", cost=f"{found.cost:.3g}", expected=f"{found.expected:.3g}")]
    if found.likeliest is not None:
        text.append(phrases.say("by_likeliest", cost=f"{found.likeliest:.3g}"))
    text.append(phrases.say("by_always", decision=found.always, cost=f"{found.always_cost:.3g}"))
    rows = [[name, f"{count:,}"] for name, count in found.counts]
    head = [phrases.say("decision"), phrases.say("texts")]
    return _section(phrases.say("decisions"), *map(_p, text), table(head, rows, 1))


def trusted(report: Report, phrases: Phrases) -> Html:
    """Whether its probabilities mean what they say."""
    found = report.calibration
    if found is None:
        return Html("")
    off = f"{100 * found.before.ece_mass:.1f}"
    parts: list[str] = [_p(phrases.say(_manner(found.before), value=off, rows=f"{report.rows:,}"))]
    if _manner(found.before) not in ("trusted", "trusted_so_far"):
        helps = found.after.ece_mass < found.before.ece_mass
        after = f"{100 * found.after.ece_mass:.1f}"
        key = "after" if helps else "no_temperature"
        parts.append(_p(phrases.say(key, temperature=f"{found.temperature:.2f}", value=after)))
    return _section(phrases.say("probabilities"), *parts, _figure(pictures.reliability(found, phrases)))


def _manner(found: Reliability) -> str:
    if found.ece_mass <= HONEST:
        return "trusted"
    # By two standard deviations or so: the mean of 15 bins varies by a fifth.
    if found.ece_mass <= 1.4 * found.by_chance:
        return "trusted_so_far"
    total = sum(part.rows for part in found.bins)
    lean = sum(part.rows * (part.confidence - part.accuracy) for part in found.bins) / total
    # Where errors in both directions cancel, it is neither.
    if abs(lean) < found.ece_mass / 2:
        return "bent"
    return "too_sure" if lean > 0 else "too_timid"


def hardest(report: Report, phrases: Phrases, texts: Mapping[int, str]) -> Html:
    """The rows that a person should look at; texts are shown where the caller gives them."""
    if not report.hardest:
        return Html("")
    with_sure = any(row.confidence is not None for row in report.hardest)
    head = [
        phrases.say("row"),
        *([phrases.say("text")] if texts else []),
        phrases.say("truth"),
        phrases.say("predicted"),
    ]
    rows = []
    for row in report.hardest:
        text = texts.get(row.row, "")
        quoted = [text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"] if texts else []
        said = [row.truth or phrases.say("nothing"), row.predicted or phrases.say("nothing")]
        sure = ["–" if row.confidence is None else _sure(row.confidence)] if with_sure else []
        rows.append([str(row.row), *quoted, *said, *sure])
    head += [phrases.say("sure")] if with_sure else []
    help_text = _p(phrases.say("hardest_help")) if with_sure else Html("")
    return _section(phrases.say("hardest"), help_text, table(head, rows, int(with_sure)))


def _sure(value: float) -> str:
    return f"{value:.1%}" if value < 0.9995 else "> 99.9%"


def speed(report: Report, phrases: Phrases) -> Html:
    """How fast it answers."""
    found = report.speed
    if found is None:
        return Html("")
    text = [phrases.say("speed_says", median=f"{found.median_ms:.1f}", p99=f"{found.p99_ms:.1f}")]
    if found.rows_per_second is not None:
        text.append(phrases.say("speed_rows", rows=f"{found.rows_per_second:,.0f}"))
    if found.tokens is not None:
        text.append(phrases.say("speed_tokens", tokens=found.tokens))
    return _section(phrases.say("speed"), _p(" ".join(text)))


def origin(report: Report, phrases: Phrases) -> Html:
    """Where it came from."""
    known = [(name, getattr(report.origin, name)) for name in Origin.model_fields]
    listed = [
        join(element("dt", phrases.say(f"origin_{name}")), element("dd", value)) for name, value in known if value
    ]
    return _section(phrases.say("origin"), element("dl", *listed)) if listed else Html("")


def reading(report: Report, phrases: Phrases) -> Html:
    """What intervals are."""
    numbers = {"rows": f"{report.rows:,}", "replicates": f"{report.replicates:,}", "seed": report.seed}
    return _section(phrases.say("reading"), _p(phrases.say("reading_says", **numbers)))
