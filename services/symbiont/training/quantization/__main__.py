"""`python -m symbiont.training.quantization --artifacts ROOT --base DIGEST`: quantises one base and exits.

Reads rows of token ids from stdin, as a JSON list of lists. Says on stdout, a JSON object a line, the `stage` that
begins, and at the end the `digest` of the artifact or the `error`. A process of its own, because this takes torch and
all cores for a minute, and ends with whoever asked for it.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import SymbiontError


def main() -> None:
    """Quantises; the exit status is 0 when there is a result."""
    parser = argparse.ArgumentParser(prog="symbiont-quantization", description=__doc__)
    parser.add_argument("--artifacts", type=Path, required=True, help="root of the artifact store")
    parser.add_argument("--base", required=True, help="digest of the base")
    asked = parser.parse_args()
    # NNCF draws its progress on stdout: that goes where the log does.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    say(stage="loading")
    try:
        artifacts = ArtifactStore(asked.artifacts)
        # Before anything is imported: torch takes seconds, which the refusal of a missing base need not wait for.
        artifacts.path("bases", asked.base)
        import numpy as np

        from symbiont.engine.openvino_quantize import quantize_base

        rows = [np.array(row, np.int32) for row in json.load(sys.stdin)]
        digest = quantize_base(artifacts, asked.base, rows, lambda stage: say(stage=stage))
    except ImportError as exc:
        say(error=f"{exc.name} is not installed here: pip install 'symbiont[train]'")
        sys.exit(1)
    except SymbiontError as exc:
        say(error=str(exc))
        sys.exit(1)
    say(digest=digest)


if __name__ == "__main__":
    main()
