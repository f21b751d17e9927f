"""`python -m symbiont.training.judging --order FILE`: judges a version, says what was found, and exits.

FILE has the JSON form of Order. Says on stdout, a JSON object a line, the `stage` that begins, and at the end `judged`,
or the `error` with its `reason` and `field`. A process of its own, because it holds a base in memory and takes cores,
and because it ends with whoever asked for it.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from symbiont.common.artifacts import ArtifactStore, take_over, trust_of_environment
from symbiont.common.errors import SymbiontError, Unavailable
from symbiont.common.security.files import Tls
from symbiont.training.judging.work import Judged, Order
from symbiont.training.worker.clients import TokenizationClient

# Of the scheduler's weights for a process of normal priority about a third: a job that runs keeps its cores.
BESIDE = 5
AWAY = "AWAY"


def main() -> None:
    """Judges; the exit status is 0 when there is a result."""
    parser = argparse.ArgumentParser(prog="symbiont-judging", description=__doc__)
    parser.add_argument("--order", type=Path, required=True, help="file with the JSON form of Order")
    order = Order.model_validate_json(take_over(parser.parse_args().order.read_text()))
    os.nice(BESIDE)
    # Whatever a library prints goes where the log does.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    try:
        say(judged=_judged(order, say).model_dump(mode="json"))
    except SymbiontError as exc:
        reason = AWAY if isinstance(exc, Unavailable) else exc.reason
        say(error=str(exc).removeprefix(f"{exc.field}: "), reason=reason, field=exc.field or "")
        sys.exit(1)
    except MemoryError:
        say(error="base and rows do not fit into memory", reason="OUT_OF_MEMORY", field="")
        sys.exit(1)


def _judged(order: Order, say: Any) -> Judged:
    # This loads torch.
    from symbiont.training.judging.doing import do

    client = TokenizationClient(order.tokenization_address, tls=Tls.from_environment())
    try:
        return do(
            order,
            ArtifactStore(order.artifact_root, tenant=order.tenant, trust=trust_of_environment()),
            client.tokenize,
            lambda stage: say(stage=stage),
        )
    finally:
        client.close()


if __name__ == "__main__":
    main()
