"""The executor that the settings choose."""

import shlex

from symbiont.training.executors import Executor
from symbiont.training.executors.local import WORKER, LocalExecutor
from symbiont.training.executors.ray import RayExecutor
from symbiont.training.settings import TrainingSettings


def make_executor(settings: TrainingSettings) -> Executor:
    """Returns where workers run; nothing is called yet."""
    program = shlex.split(settings.worker_program)
    if settings.executor == "ray":
        return RayExecutor(
            settings.ray_address,
            settings.ray_token.get_secret_value(),
            settings.worker_threads,
            suite=settings.suite_name,
            python=settings.ray_python,
            cpus=settings.cpus_per_rank,
            program=program or None,
        )
    return LocalExecutor(settings.state_root, settings.worker_threads, program or WORKER)
