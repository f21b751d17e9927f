"""What is found of an outcome, as values that a report keeps. Rows are numbered from 0 in the order of the outcome."""

from symbiont.bundle.part import Part

Point = tuple[float, float]


class Estimate(Part):
    """A value and the interval that it is in with the report's confidence."""

    value: float
    low: float
    high: float


class Headline(Part):
    """A metric on all rows."""

    metric: str
    estimate: Estimate


class SliceRow(Part):
    """A metric on the rows of one value of a slice."""

    slice: str
    value: str
    rows: int
    metric: str
    estimate: Estimate


class ClassRow(Part):
    """One class, label or type; None is what cannot be said, as the recall of a class that no row has.

    `support` is how many are true, `predicted` how many were said.
    """

    label: str
    support: int
    predicted: int
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    roc_auc: float | None = None
    average_precision: float | None = None
    best_threshold: float | None = None


class Confusion(Part):
    """So many rows of class `truth` were said to be `predicted`."""

    truth: str
    predicted: str
    rows: int


class Curve(Part):
    """(recall, precision) of a label, from the highest threshold on."""

    label: str
    points: tuple[Point, ...]


class Bin(Part):
    """Decisions of about the same probability: what it was on average, and how many came true."""

    rows: int
    confidence: float
    accuracy: float


class Reliability(Part):
    """How far probabilities are from what came true.

    `ece_mass` is the expected calibration error over bins of equally many decisions, which `bins` are, `ece_width` over
    bins of equal width. `by_chance` is what the first would be of honest probabilities, with so few decisions.
    """

    ece_mass: float
    ece_width: float
    by_chance: float
    brier: float
    log_loss: float
    bins: tuple[Bin, ...]


class CalibrationFigures(Part):
    """Probabilities before and after a temperature.

    `temperature` was fitted on all rows and is the one to serve with, `temperatures` those of each label, where labels
    hold or not; `after` is honest: each row was judged with what was fitted on other rows.
    """

    temperature: float
    temperatures: tuple[float, ...] = ()
    before: Reliability
    after: Reliability


class HardRow(Part):
    """A row by number and id, in hexadecimal; `truth` and `predicted` are labels or numbers, never the row's text."""

    row: int
    id: str
    truth: str
    predicted: str
    right: bool | None
    confidence: float | None = None


class Difference(Part):
    """A metric of two versions on the same rows; `gain` is above 0 where the candidate is better."""

    metric: str
    candidate: float
    incumbent: float
    gain: Estimate


class PartDifference(Part):
    """A metric of two versions on some of the rows: those of one value of a slice, or of one class (`name` empty)."""

    name: str
    value: str
    rows: int
    difference: Difference


class McNemar(Part):
    """Rows that only one of two versions got right, and how likely so uneven a split is by chance."""

    only_candidate: int
    only_incumbent: int
    p_value: float


class ComparisonFigures(Part):
    """Candidate and incumbent on the rows that both answered; `differences` begins with the primary metric."""

    rows: int
    only_candidate_rows: int
    only_incumbent_rows: int
    differences: tuple[Difference, ...]
    mcnemar: McNemar | None
    slices: tuple[PartDifference, ...]
    classes: tuple[PartDifference, ...]


class RuleResult(Part):
    """What a rule of a gate found, in words of each language."""

    rule: str
    passed: bool
    words: dict[str, str]


class Verdict(Part):
    """Whether a candidate may take over."""

    passed: bool
    results: tuple[RuleResult, ...]

    def reasons(self, language: str = "en") -> tuple[str, ...]:
        """Returns why not, in `en` or `zh`; nothing where it may."""
        return tuple(result.words[language] for result in self.results if not result.passed)


class DecisionFigures(Part):
    """What decisions cost, on average for a row.

    Attributes:
        cost: by the least expected cost.
        expected: what the probabilities promise; far from `cost`, they are not honest.
        likeliest: where each row gets its likeliest class; None where decisions are not classes.
        always: the best of always deciding the same.
        always_cost: what that costs.
        counts: how often each decision is made.
    """

    cost: float
    expected: float
    likeliest: float | None
    always: str
    always_cost: float
    counts: tuple[tuple[str, int], ...]


class Speed(Part):
    """How fast the bundle answers one row, in milliseconds, and rows a second where that was measured."""

    median_ms: float
    p99_ms: float
    rows_per_second: float | None = None
    tokens: int | None = None


class Origin(Part):
    """Where a version came from; empty is not known."""

    model: str = ""
    version: str = ""
    base: str = ""
    method: str = ""
    training_dataset: str = ""
    evaluation_dataset: str = ""
    seed: str = ""
    code_version: str = ""
    time: str = ""
