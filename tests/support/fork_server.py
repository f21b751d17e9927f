"""`python -m support.fork_server NAME [SERVICE]`: the fork servers of the tests.

Forks of one are scripts, beside workers; of another services, all of one kind: what one imports is in its metrics.
"""

import runpy
import sys
from pathlib import Path

from symbiont.training import fork_server
from symbiont.training.fork_server import __main__ as serving

# What scripts and gates load beside what workers do.
MORE = (
    "cleanlab.rank",
    "rich.table",
    "sklearn.ensemble",
    "sklearn.model_selection",
    "support.attempts",
    "support.bundles",
    "support.tiny",
    "symbiont.engine.engine",
    "symbiont.engine.torch_runtime",
    "symbiont.training.gate.doing",
    "transformers.trainer",
)
# What a service loads when somebody needs it.
LATER = {
    "symbiont.training.__main__": (
        "symbiont.training.tracking.tensorboard",
        "tensorboard.compat.proto.event_pb2",
        "tensorboard.plugins.hparams.summary_v2",
        "tensorboard.plugins.text.metadata",
    ),
}


def main() -> None:
    """Runs, in a fork, the script that the first argument names, as `python SCRIPT ARGUMENTS` does."""
    sys.argv = sys.argv[1:]
    sys.path.insert(0, str(Path(sys.argv[0]).parent))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        service = f"symbiont.{sys.argv.pop()}.__main__"
        fork_server.PROGRAMS["service"] = service
        serving.PRELOADED = (service, *LATER.get(service, ()))
    else:
        fork_server.PROGRAMS["script"] = "support.fork_server"
        serving.PRELOADED = (*serving.PRELOADED, *MORE)
    serving.main()
