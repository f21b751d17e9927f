"""Does what an order asks: reads rows, works on them, stores what was made."""

from collections.abc import Callable, Sequence

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.sealing import open_sealer
from symbiont.training.data.rows import Row, read_rows
from symbiont.training.gate.choosing import choose
from symbiont.training.gate.findings import numbered
from symbiont.training.gate.lineage import Recorded
from symbiont.training.gate.results import Report, Suggestion
from symbiont.training.gate.settings import Prepare, Split, Suggest, Validate
from symbiont.training.gate.split import split
from symbiont.training.gate.storing import parents_of, stored
from symbiont.training.gate.transforms import Beside, prepare
from symbiont.training.gate.validate import validate
from symbiont.training.gate.work import Made, Order, Progress, Tell, WorkStage

TRAIN, TEST = "TRAIN", "TEST"


def do(order: Order, artifacts: ArtifactStore, tell: Tell) -> list[Made] | Report | list[Suggestion]:
    """Returns what was made: one dataset or two, a report, or suggestions.

    Raises:
        FailedPrecondition: nothing is left of the rows, or a transform lacks what it needs.
    """
    tell(Progress(stage=WorkStage.READING))
    rows = numbered(read_rows(artifacts, order.source))
    others = {name: list(read_rows(artifacts, digest)) for name, digest in order.others.items()}
    total = len(rows)

    def told(part: str, done: int = 0, transform: int = 0) -> None:
        stage = WorkStage.WORKING
        tell(Progress(stage=stage, part=part, transform=transform, rows_done=done, rows_total=total))

    match order.work:
        case Prepare() as asked:
            return [_prepared(order, asked, rows, others, artifacts, told)]
        case Split() as asked:
            return _split(order, asked, rows, artifacts, told)
        case Validate() as asked:
            return validate(rows, order.kind, asked, others.get(asked.against or "", ()), told)
        case Suggest() as asked:
            told("suggest")
            return choose(rows, order.kind, asked, others.get(asked.learn_from or "", ()))


def _prepared(
    order: Order,
    asked: Prepare,
    rows: Sequence[Row],
    others: dict[str, list[Row]],
    artifacts: ArtifactStore,
    told: Callable[..., None],
) -> Made:
    beside = Beside(others, {name: open_sealer(file) for name, file in order.keys.items()}, order.dates)
    made, steps = prepare(
        rows,
        order.kind,
        asked.transforms,
        beside,
        lambda number, done: told(asked.transforms[number].kind, done, number),
    )
    return stored(artifacts, parents_of(order), made, order.kind, steps)


def _split(
    order: Order, asked: Split, rows: Sequence[Row], artifacts: ArtifactStore, told: Callable[..., None]
) -> list[Made]:
    told("split")
    parts = split(rows, order.kind, asked)
    settings = asked.model_dump(mode="json", exclude_none=True)
    return [
        stored(
            artifacts,
            parents_of(order),
            part,
            order.kind,
            [Recorded("split", {"part": name, "settings": settings}, len(rows), len(part), 0, parts.findings)],
        )
        for name, part in ((TRAIN, parts.train), (TEST, parts.test))
    ]
