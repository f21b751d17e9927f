"""The processes that train data-parallel: torch.distributed on gloo, or one process that agrees with itself."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from symbiont.training.worker.commands import Command
from symbiont.training.worker.errors import RankLost
from symbiont.training.worker.network import Network

# Rank 0 judges and stores alone, and the others wait for it; one that has died is noticed at once all the same.
PATIENCE = timedelta(hours=1)


class Ranks:
    """Rank 0 talks to the controller and decides; everyone does the same steps."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank = rank
        self.count = count

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def wrap(self, network: Network) -> Any:
        """Returns the network as it is to be called: its gradients come out as the mean over the ranks."""
        return DistributedDataParallel(network) if self.count > 1 else network

    def without_exchange(self, wrapped: Any) -> AbstractContextManager[None]:
        """Within it, gradients pile up on their rank."""
        return wrapped.no_sync() if self.count > 1 else nullcontext()

    def share(self, rows: Any) -> Any:
        """Returns this rank's part of the rows of a batch."""
        return rows[self.rank :: self.count]

    def agree(self, command: Command, loss: float) -> tuple[Command, float]:
        """Returns rank 0's command and the sum of the losses, the same on every rank; within `translated`."""
        if self.count == 1:
            return command, loss
        # The others ask for nothing, so the sum is what rank 0 asks for.
        told = torch.tensor([float(command) if self.leads else 0.0, loss], dtype=torch.float64)
        distributed.all_reduce(told)
        return Command(int(told[0])), float(told[1])

    def end_together(self) -> None:
        """Returns when every rank has come here."""
        if self.count > 1:
            with translated():
                distributed.barrier()
            distributed.destroy_process_group()


@contextmanager
def translated() -> Iterator[None]:
    """Turns the failure of an exchange into RankLost."""
    try:
        yield
    except (distributed.DistBackendError, RuntimeError) as exc:
        if not is_lost_rank(exc):
            raise
        raise RankLost(f"another rank cannot be reached: {str(exc).splitlines()[0][:300]}") from exc


def is_lost_rank(error: BaseException) -> bool:
    """Whether an error is that of an exchange with another rank: gloo has no class of its own."""
    words = ("gloo", "Connection closed by peer", "Connection reset", "Connection refused", "Broken pipe", "Socket")
    text = str(error)
    return isinstance(error, distributed.DistBackendError) or any(word in text for word in words)


def join() -> Ranks:
    """Returns the ranks that the environment names (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT), once all are there."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Ranks()
    with translated():
        distributed.init_process_group("gloo", timeout=PATIENCE)
    return Ranks(int(os.environ["RANK"]), count)
