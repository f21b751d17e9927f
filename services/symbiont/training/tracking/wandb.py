"""Weights & Biases: a run for each job, whose id is the job's.

The step of W&B is the event's id: a line that is told again is the same line. Charts have the step of the training,
as one of the numbers.
"""

import time
from pathlib import Path
from typing import Any

from symbiont.training.tracking import Run, register
from symbiont.training.tracking.reading import numbers_of, parameters_of, words_of
from symbiont.training.tracking.wandb_files import is_whole, position
from symbiont.training.types import Event, Job, JobState

STEP = "train/step"
# Seconds: for a server to answer, for the rest of a run to be sent, between two writings of its file.
INIT_SECONDS, FINISH_SECONDS, FLUSH_SECONDS = 30, 10, 1
POLL_SECONDS = 0.02


class WandB:
    """Runs of one project, with files below `folder` in `wandb/`.

    `mode` is `offline`, where nothing is sent and `wandb sync` does later, or `online`, which needs WANDB_API_KEY.
    """

    def __init__(self, folder: Path, mode: str, project: str) -> None:
        self._folder = folder
        self._mode = mode
        self._project = project
        self._used = False

    def begin(self, job: Job, after: int) -> Run:
        """Begins the run of a job or goes on with it, after what its files have, or online what W&B has."""
        import wandb

        self._folder.mkdir(parents=True, exist_ok=True)
        in_files = position(self._folder / "wandb", job.id)
        settings = self._settings()
        if not self._used:
            # W&B's process, for all runs.
            wandb.setup(settings)
            self._used = True
        run = wandb.init(
            project=self._project,
            id=job.id,
            name=f"{job.spec.output.partition('/')[2]} {job.id}",
            group=job.spec.output.partition("/")[2],
            dir=self._folder,
            config=dict(parameters_of(job)),
            resume="allow",
            reinit="create_new",
            settings=settings,
        )
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP)
        if self._mode == "online":
            return WandBRun(run, max(run.starting_step - 1, 0) if run.resumed else 0)
        # Files that are gone were synchronised, and what was told is in W&B.
        return WandBRun(run, after if in_files is None else in_files, Path(run.dir).parent / f"run-{job.id}.wandb")

    def _settings(self) -> Any:
        import wandb

        return wandb.Settings(
            mode=self._mode,
            # Nothing of this process or its machine concerns a job.
            console="off",
            disable_git=True,
            disable_job_creation=True,
            save_code=False,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
            silent=True,
            symlink=False,
            init_timeout=INIT_SECONDS,
            login_timeout=INIT_SECONDS,
            finish_timeout=FINISH_SECONDS,
            x_transaction_log_flush_interval=FLUSH_SECONDS,
        )

    def close(self) -> None:
        """Ends W&B's process."""
        if self._used:
            import wandb

            self._used = False
            wandb.teardown()


class WandBRun:
    """One run. What W&B's process has not written when it is killed is told again to the next one."""

    def __init__(self, run: Any, position: int, file: Path | None = None) -> None:
        """`file` is what an offline run is written to."""
        self._run = run
        self._position = position
        self._file = file

    @property
    def position(self) -> int:
        """The last event that was told."""
        return self._position

    def record(self, event: Event, step: int) -> None:
        """Adds a line of history."""
        line: dict[str, Any] = dict(numbers_of(event.body))
        if words := words_of(event.body):
            kind, text = words
            line[f"job/{kind}"] = text
        if line:
            line |= {STEP: step, "job/attempt": event.attempt, "_timestamp": event.time.timestamp()}
            # Committed at once: a line is otherwise kept until the next one comes.
            self._run.log(line, step=event.id, commit=True)
        self._position = event.id

    def flush(self) -> None:
        """W&B's process writes by itself."""

    def end(self, job: Job) -> None:
        """Says how it went; writes, and online sends, all that is left."""
        made = {"derived_base": job.derived_base} if job.derived_base else {"model_version": job.model_version}
        self._run.summary.update({"state": job.state.value, **made})
        self._finish(int(job.state is JobState.FAILED))

    def close(self) -> None:
        """Writes all that is left; the run may go on."""
        self._finish(0)

    def _finish(self, exit_code: int) -> None:
        self._run.finish(exit_code=exit_code)
        deadline = time.monotonic() + FINISH_SECONDS
        # W&B answers before its process has written the last of it.
        while self._file and not is_whole(self._file):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._file} was not written to its end within {FINISH_SECONDS} s")
            time.sleep(POLL_SECONDS)


register(
    "wandb",
    lambda options: WandB(options.folder, options.wandb_mode, options.wandb_project),
    package="wandb",
    extra="wandb",
)
