"""Checkpoints: everything that the next step depends on, as safetensors in the artifact store.

The learning rate, the batches and the random numbers are functions of spec and step number, so a checkpoint is the
trained weights, the optimizer's moments, what the tuning method keeps beside them, and one number.
"""

from typing import Any

import torch
from safetensors.torch import load, save

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError
from symbiont.training.worker.network import Network

KIND = "checkpoints"
STATE = "state.safetensors"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def save_checkpoint(
    artifacts: ArtifactStore, job: str, step: int, network: Network, optimizer: torch.optim.AdamW
) -> str:
    """Stores a checkpoint; returns its digest."""
    tensors = {}
    for name, parameter in network.trainable().items():
        tensors[f"weight:{name}"] = parameter.detach().contiguous()
        state = optimizer.state.get(parameter, {})
        tensors.update({f"{moment}:{name}": state[moment].contiguous() for moment in MOMENTS if moment in state})
    tensors.update({f"method:{name}": tensor.contiguous() for name, tensor in network.state().items()})
    return artifacts.put(
        KIND, {STATE: save(tensors)}, {"kind": "checkpoint", "format_version": 1, "job": job, "step": step}
    )


def load_checkpoint(artifacts: ArtifactStore, digest: str, network: Network, optimizer: torch.optim.AdamW) -> int:
    """Puts a checkpoint's state into network and optimizer; returns its step.

    Raises:
        NotFound, IntegrityError: it is gone, damaged, or belongs to another network.
    """
    tensors = load(artifacts.read(KIND, digest, STATE))
    parameters = network.trainable()
    expected = {f"weight:{name}" for name in parameters}
    if {name for name in tensors if name.startswith("weight:")} != expected:
        raise IntegrityError(f"{KIND}/{digest} holds the weights of another network")
    for name, parameter in parameters.items():
        with torch.no_grad():
            parameter.copy_(tensors[f"weight:{name}"])
        state: dict[str, Any] = {m: tensors[f"{m}:{name}"] for m in MOMENTS if f"{m}:{name}" in tensors}
        if state:
            optimizer.state[parameter] = state
    step = int(artifacts.manifest(KIND, digest)["step"])
    kept = {name: tensor for name, tensor in tensors.items() if name.startswith("method:")}
    network.restore({name.removeprefix("method:"): tensor for name, tensor in kept.items()}, step)
    return step
