"""The executor that the settings choose."""

import shlex
import sys

from symbiont.common.encryption import ENCRYPTION_VARIABLE, MASTER_KEY_VARIABLE
from symbiont.common.security.files import CERTIFICATE_VARIABLE, KEY_VARIABLE
from symbiont.training.executors import Executor
from symbiont.training.executors.kubernetes import KubernetesExecutor
from symbiont.training.executors.kubernetes_api import KubernetesApi
from symbiont.training.executors.kubernetes_kinds import GANGS
from symbiont.training.executors.kubernetes_pod import PodSettings
from symbiont.training.executors.kubernetes_template import read_template
from symbiont.training.executors.local import WORKER, LocalExecutor
from symbiont.training.executors.ray import RayExecutor
from symbiont.training.fork_server import ForkServer
from symbiont.training.settings import TrainingSettings


def pod_settings(settings: TrainingSettings, program: list[str]) -> PodSettings:
    """Returns what the pods of all workers have in common."""
    template = settings.kubernetes_pod_template
    remote = str(settings.artifact_root).startswith("s3:")
    return PodSettings(
        image=settings.kubernetes_image,
        suite=settings.suite_name,
        program=program or PodSettings.program,
        threads=settings.worker_threads,
        cpus=settings.cpus_per_rank,
        memory=settings.memory_per_rank,
        gpus=settings.gpus_per_rank,
        # Of a store elsewhere a pod has a cache where others have the volume.
        artifacts=PodSettings.artifacts if remote else str(settings.artifact_root),
        claim="" if remote else PodSettings.claim,
        environment=({"SYMBIONT_ARTIFACT_CACHE": PodSettings.artifacts} if remote else {}) | _encryption(settings),
        secrets=settings.kubernetes_secrets,
        login_secret=settings.kubernetes_login_secret,
        tls_secret=settings.kubernetes_tls_secret,
        grace_seconds=settings.kubernetes_grace_seconds,
        keep_seconds=settings.kubernetes_keep_seconds,
        template=read_template(template) if template else {},
    )


def _encryption(settings: TrainingSettings) -> dict[str, str]:
    """Returns what a worker elsewhere is told of keys; how it logs in to Vault is for its machine to know."""
    if not settings.master_key:
        return {}
    return {ENCRYPTION_VARIABLE: settings.encryption, MASTER_KEY_VARIABLE: settings.master_key}


def make_fork_server(settings: TrainingSettings) -> ForkServer | None:
    """Returns that from which workers and plans are forked, which is started here unless it runs already."""
    if not settings.warm_workers or settings.executor != "local" or sys.platform != "linux":
        return None
    return ForkServer(settings.fork_server)


def make_executor(settings: TrainingSettings, fork_server: ForkServer | None = None) -> Executor:
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
            environment=_encryption(settings),
        )
    if settings.executor == "kubernetes":
        return KubernetesExecutor(
            KubernetesApi(context=settings.kubernetes_context, namespace=settings.kubernetes_namespace),
            pod_settings(settings, program),
            GANGS[settings.kubernetes_ranks],
        )
    # A program of somebody else's is started as it is.
    forking = None if program else fork_server
    return LocalExecutor(
        settings.state_root, settings.worker_threads, program or WORKER, forking, _worker_files(settings)
    )


def _worker_files(settings: TrainingSettings) -> dict[str, str]:
    """Returns the variables that give local workers a certificate of their own."""
    files = {CERTIFICATE_VARIABLE: settings.worker_tls_certificate, KEY_VARIABLE: settings.worker_tls_key}
    return {name: str(path.absolute()) for name, path in files.items() if path}
