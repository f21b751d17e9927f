"""Chooses and loads the runtime that a host computes with."""

import importlib.util
import logging

from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.runtime import Runtime
from symbiont.engine.settings import HostSettings

_LOG = logging.getLogger(__name__)


def load_runtime(settings: HostSettings, store: ArtifactStore) -> Runtime:
    """Loads the base of the settings into a runtime.

    Raises:
        NotFound: no such base.
        IntegrityError: the base is damaged, or its manifest does not describe it.
    """
    # Before anything is imported: torch takes seconds, which the refusal of a missing base need not wait for.
    store.path("bases", settings.base_digest)
    device = choose_device(settings.device)
    if _wants_openvino(settings, device):
        from symbiont.engine.openvino_runtime import OpenVinoRuntime

        _LOG.info("base %s computes in openvino, %s", settings.base_digest, settings.precision)
        return OpenVinoRuntime(store, settings.base_digest, threads=settings.threads, precision=settings.precision)
    from symbiont.engine.torch_runtime import TorchRuntime

    _LOG.info("base %s computes in torch on %s, %s", settings.base_digest, device, settings.precision)
    return TorchRuntime(
        store, settings.base_digest, threads=settings.threads, device=device, precision=settings.precision
    )


def choose_device(device: str) -> str:
    """Returns what `auto` means here; any other name is itself."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _wants_openvino(settings: HostSettings, device: str) -> bool:
    if settings.runtime != "auto":
        return settings.runtime == "openvino"
    if device != "cpu":
        return False
    if importlib.util.find_spec("openvino") is None:
        _LOG.warning("openvino is not installed here; the host computes in torch, which is slower on CPU")
        return False
    return True
