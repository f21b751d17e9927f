"""A training that starts from a version: its weights in the network, and what it says of the rows.

Outputs for labels that the version does not know begin without weights, and with a bias at which they are as likely as
they are frequent (Lin et al. 2017, arXiv 1708.02002, section 3.3): what the version knows is not disturbed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from symbiont.bundle import Bundle, BundleManifest, load_bundle, read_manifest
from symbiont.common.artifacts import ArtifactStore
from symbiont.training.heads.entities import SKIP
from symbiont.training.heads.layers import tensors_of
from symbiont.training.types import Inputs
from symbiont.training.worker.network import Network

# Of the rows to learn from, as many as tell how sure the version is, and whether labels were exchanged.
SAMPLE = 1000
# Tasks whose outputs are labels: of these there may be new ones.
LABELLED = ("classification", "multi_label", "entities")


def start_of(artifacts: ArtifactStore, inputs: Inputs) -> BundleManifest | None:
    """Returns the manifest of the bundle that a job starts from; None where it starts from the base."""
    return read_manifest(artifacts, inputs.start_digest) if inputs.start_digest else None


def start_bundle(artifacts: ArtifactStore, inputs: Inputs) -> Bundle | None:
    """Returns the bundle that a job starts from, on the base of the job; None where it starts from the base.

    Raises:
        NotFound, IntegrityError: it is gone, or damaged.
    """
    return load_bundle(artifacts, inputs.start_digest, inputs.base_digest) if inputs.start_digest else None


def take(network: Network, bundle: Bundle) -> None:
    """Puts the weights of a bundle into a network of its shape; outputs that it does not know are 0."""
    network.take({name: torch.from_numpy(array) for name, array in bundle.adapter.items()})
    with torch.no_grad():
        for name, parameter in tensors_of(network.head).items():
            known = torch.from_numpy(bundle.head[name])
            parameter.zero_()[: len(known)] = known


def expect_new(
    network: Network, task: str, outputs: Sequence["np.ndarray[Any, Any]"], known: int, targets: Tensor
) -> None:
    """Makes outputs behind the `known` ones as likely as their labels are frequent.

    Args:
        task: the kind of the head.
        outputs: what the network gives for some of the rows to learn from, [outputs] or [tokens, outputs] each.
        targets: of all of them.
    """
    bias = tensors_of(network.head).get("bias")
    if task not in LABELLED or bias is None or len(bias) == known:
        return
    shares = _shares(targets, len(bias), each=task == "multi_label")[known:]
    level = 0.0
    if task != "multi_label":
        # Of classes that exclude each other, the logits count against each other.
        logits = torch.from_numpy(np.concatenate([np.atleast_2d(row)[:, :known] for row in outputs]))
        level = float(logits.logsumexp(1).mean())
    with torch.no_grad():
        bias[known:] = level + torch.logit(shares)


def sample(count: int, seed: int) -> "np.ndarray[Any, Any]":
    """Returns the numbers of some rows out of so many."""
    return np.sort(np.random.default_rng([seed, 0xB391]).permutation(count)[:SAMPLE])


def _shares(targets: Tensor, outputs: int, *, each: bool) -> Tensor:
    """Returns how frequent each output is among targets, above 0 and below 1."""
    if each:
        counts, rows = targets.sum(0), len(targets)
    else:
        there = targets[targets != SKIP]
        counts, rows = torch.bincount(there.flatten(), minlength=outputs), there.numel()
    return (counts + 0.5) / (rows + 1.0)
