"""Starts the real worker out of the executor's sight, and lives in its place: killing this one does not kill it.

What a machine that a controller cannot reach any more looks like from the controller.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from symbiont.training.executors.local import MARK_VARIABLE, leave_mark

spec = Path(sys.argv[sys.argv.index("--spec") + 1])
attempt = sys.argv[sys.argv.index("--attempt") + 1]
hidden = spec.parents[3] / f"hidden-{spec.parents[1].name}-{attempt}"
hidden.mkdir()
shutil.copy(spec, hidden / "spec.json")
environment = os.environ | {MARK_VARIABLE: str(hidden / "worker.json")}
command = [sys.executable, "-m", "symbiont.training.worker", "--spec", str(hidden / "spec.json"), "--attempt", attempt]
with (hidden / "log").open("wb") as log:
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
leave_mark(Path(os.environ[MARK_VARIABLE]))
while process.poll() is None:
    time.sleep(0.05)
