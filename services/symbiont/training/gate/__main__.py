"""`python -m symbiont.training.gate --order FILE`: does one work on a dataset, says how far it is, and exits.

FILE has the JSON form of Order. Says on stdout, a JSON object a line, the `progress`, and at the end `made`, `report`,
`suggestions` or the `error` with its `reason` and `field`. A process of its own, because it takes a core and memory for
as long as there are rows, and because it ends with whoever asked for it.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from symbiont.common.artifacts import ArtifactStore, take_over
from symbiont.common.errors import SymbiontError
from symbiont.training.gate.results import Report, Suggestion
from symbiont.training.gate.work import Made, Order, Progress

# Of the scheduler's weights for a process of normal priority about a third: a job that runs keeps its cores.
BESIDE = 5
# Nobody reads faster.
_TELL_SECONDS = 0.2


class Teller:
    """Says progress, not too often."""

    def __init__(self, say: Any) -> None:
        self._say = say
        self._last: tuple[str, str, int] | None = None
        self._time = 0.0

    def __call__(self, progress: Progress) -> None:
        """Says what is new: a stage or a part at once, rows now and then."""
        part = (progress.stage, progress.part, progress.transform)
        if part != self._last or time.monotonic() - self._time >= _TELL_SECONDS:
            self._last, self._time = part, time.monotonic()
            self._say(progress=progress.model_dump(mode="json"))


def main() -> None:
    """Does the work; the exit status is 0 when there is a result."""
    parser = argparse.ArgumentParser(prog="symbiont-gate", description=__doc__)
    parser.add_argument("--order", type=Path, required=True, help="file with the JSON form of Order")
    order = Order.model_validate_json(take_over(parser.parse_args().order.read_text()))
    os.nice(BESIDE)
    # Whatever a library prints goes where the log does.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    try:
        say(**_done(order, Teller(say)))
    except SymbiontError as exc:
        say(error=str(exc).removeprefix(f"{exc.field}: "), reason=exc.reason, field=exc.field or "")
        sys.exit(1)
    except ImportError as exc:
        say(error=f"{exc.name} is not installed here: pip install 'symbiont[train]'", reason="NOT_INSTALLED", field="")
        sys.exit(1)
    except MemoryError:
        say(error="the rows do not fit into memory", reason="OUT_OF_MEMORY", field="")
        sys.exit(1)


def _done(order: Order, tell: Teller) -> dict[str, Any]:
    # This loads scikit-learn.
    from symbiont.training.gate.doing import do

    result = do(order, ArtifactStore(order.artifacts, tenant=order.tenant), tell)
    if isinstance(result, Report):
        return {"report": TypeAdapter(Report).dump_python(result, mode="json")}
    name = "suggestions" if order.word == "suggest" else "made"
    kind: Any = list[Suggestion] if order.word == "suggest" else list[Made]
    return {name: TypeAdapter(kind).dump_python(result, mode="json")}


if __name__ == "__main__":
    main()
