"""`python -m symbiont.training.executors.ray_ranks --ranks N -- PROGRAM...`: runs a program once a rank, on many nodes.

The entrypoint of a Ray Job whose worker has several ranks; runs on the cluster, beside ray, as the job's driver. Each
rank is a process with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, held by an actor, one to a node while there are
enough. When one fails or its machine is lost, the others are ended: they would wait for it for ever.
"""

import argparse
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import ray  # type: ignore[import-not-found]
from ray.exceptions import RayError  # type: ignore[import-not-found]
from ray.util import get_node_ip_address, placement_group  # type: ignore[import-not-found]
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy  # type: ignore[import-not-found]

from symbiont.training.executors.ray_rank import Rank

POLL_SECONDS = 0.5
# What a cluster with room takes to give it.
ROOM_SECONDS = 5
# Ray's own workers yield to everything else; a job's entrypoint does not, and no more do its ranks.
AS_THE_JOB = {"env_vars": {"RAY_worker_niceness": "0"}}
# What a rank counts as that went with its machine.
LOST = 1


class PlacedRank(Rank):
    """A rank that knows where it is."""

    def place(self) -> tuple[str, str]:
        """Returns the id of the node, and the address at which others reach it."""
        return ray.get_runtime_context().get_node_id(), get_node_ip_address()


class Follower:
    """Prints what the ranks print, passes signals on, and knows when it is over."""

    def __init__(self, actors: Sequence[Any], grace: float) -> None:
        self._actors = actors
        self._grace = grace
        self._unfinished = [bytearray() for _ in actors]
        self._polls: dict[Any, int] = {}
        self._failure = 0

    def follow(self, stopping: threading.Event) -> int:
        """Returns the status of the first rank that failed, 0 when none did, after the last one has ended.

        When one fails the others get SIGTERM; those that live after `grace` seconds are left to their actors' end.
        """
        self._polls = {actor.poll.remote(POLL_SECONDS): rank for rank, actor in enumerate(self._actors)}
        told, deadline = False, float("inf")
        while self._polls and time.monotonic() < deadline:
            ready, _ = ray.wait(list(self._polls), timeout=POLL_SECONDS)
            for poll in ready:
                self._hear(poll)
            if not told and (stopping.is_set() or self._failure):
                told = True
                self._terminate()
            if self._failure and deadline == float("inf"):
                deadline = time.monotonic() + self._grace
        return self._failure

    def _hear(self, poll: Any) -> None:
        rank = self._polls.pop(poll)
        try:
            output, status = ray.get(poll)
        except RayError as exc:
            say(f"rank {rank} is lost: {str(exc).splitlines()[0]}")
            output, status = b"", LOST
        self._print(rank, output, ended=status is not None)
        if status is None:
            self._polls[self._actors[rank].poll.remote(POLL_SECONDS)] = rank
        elif status:
            say(f"rank {rank} has ended with status {status}")
            # By a signal: as shells count it.
            self._failure = self._failure or (status if status > 0 else 128 - status)

    def _print(self, rank: int, output: bytes, *, ended: bool) -> None:
        text = self._unfinished[rank]
        text += output
        whole = len(text) if ended else text.rfind(b"\n") + 1
        mark = b"[rank %d] " % rank if rank else b""
        for line in bytes(text[:whole]).splitlines():
            sys.stdout.buffer.write(mark + line + b"\n")
        sys.stdout.buffer.flush()
        del text[:whole]

    def _terminate(self) -> None:
        for rank in self._polls.values():
            self._actors[rank].signal.remote(int(signal.SIGTERM))


def main() -> None:
    """Places the ranks, starts them, and ends as the first one of them that failed."""
    parser = argparse.ArgumentParser(prog="ray_ranks", description="Runs a program once a rank, over the nodes.")
    parser.add_argument("--ranks", type=int, required=True, help="how many")
    parser.add_argument("--cpus", type=float, required=True, help="CPUs that Ray sets aside for each")
    parser.add_argument(
        "--grace", type=float, required=True, help="seconds in which the others end when one has failed"
    )
    parser.add_argument("program", nargs="+", help="the program and its arguments")
    arguments = parser.parse_args()
    ray.init("auto", log_to_driver=False, logging_level="WARNING")
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    actors = place(arguments.ranks, arguments.cpus, stopping)
    start(actors, arguments.program)
    status = Follower(actors, arguments.grace).follow(stopping)
    for actor in actors:
        ray.kill(actor)
    sys.exit(status)


def place(ranks: int, cpus: float, stopping: threading.Event) -> list[Any]:
    """Returns an actor for each rank, as far apart as there are nodes; waits until the cluster has room for all."""
    group = placement_group([{"CPU": cpus}] * ranks, strategy="SPREAD")
    if not group.wait(ROOM_SECONDS):
        say(f"waiting for room for {ranks} ranks of {cpus:g} CPUs")
    while not group.wait(POLL_SECONDS):
        if stopping.is_set():
            sys.exit(1)
    actor = ray.remote(PlacedRank)
    return [
        actor.options(
            num_cpus=cpus,
            runtime_env=AS_THE_JOB,
            # A poll, a signal and one call to spare.
            max_concurrency=3,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank),
        ).remote()
        for rank in range(ranks)
    ]


def start(actors: Sequence[Any], program: Sequence[str]) -> None:
    """Starts the program in every rank; they meet where rank 0 is."""
    places = ray.get([actor.place.remote() for actor in actors])
    port = ray.get(actors[0].free_port.remote())
    shared = {"WORLD_SIZE": str(len(actors)), "MASTER_ADDR": places[0][1], "MASTER_PORT": str(port)}
    pids = ray.get([actor.start.remote(program, {**shared, "RANK": str(rank)}) for rank, actor in enumerate(actors)])
    for rank, ((node, address), pid) in enumerate(zip(places, pids, strict=True)):
        say(f"rank {rank} is process {pid} on node {node} ({address})")


def say(words: str) -> None:
    """Prints a line of the launcher's own."""
    print(f"[ranks] {words}", flush=True)


if __name__ == "__main__":
    main()
