"""The running suite of one home: takes over from a killed supervisor, keeps `run.json` true, stops everything."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from symbiont.common.security.suite import SuiteCertificates
from symbiont.common.settings import split_address
from symbiont.local import ports, processes, signing
from symbiont.local.child import Status
from symbiont.local.home import Home, RunRecord, own_identity
from symbiont.local.observers import observer_specs
from symbiont.local.services import DEFAULT_PORTS, NAMES, OBSERVER_PORTS, TRAINING, Ports, process_specs
from symbiont.local.supervisor import Supervisor

READY_SECONDS = 180.0
# Between two looks at what is left of the certificates, months before their end.
RENEW_SECONDS = 3600.0
# Workers stop at their next step; one that is still loading its libraries is not worth a longer wait.
WORKER_STOP_SECONDS = 5.0


class Stack:
    """The four processes on a home, and who observes them; runs inside `with`.

    Entering raises HomeBusyError when another supervisor runs on the home, and FailedPrecondition when there is no
    Triton, or not the program of an observer.

    Args:
        triton: see `process_specs`.
        on_change: called with each new status of a process, from threads of the stack's own.
        observers: what of `OBSERVER_PORTS` runs beside the suite, in the order in which it starts.
        insecure: without TLS and certificates, so that whoever is on this machine may call.
    """

    def __init__(
        self,
        home: Home,
        triton: Path | None = None,
        on_change: Callable[[Status], None] = lambda status: None,
        observers: Sequence[str] = (),
        *,
        insecure: bool = False,
    ) -> None:
        self.home = home
        self.observers = tuple(observers)
        # Pids of processes that a killed supervisor had left, and that were stopped on entering.
        self.replaced: list[int] = []
        # Bundles of a release without signatures, which were taken as they were found.
        self.taken_over = 0
        self._triton = triton
        self._on_change = on_change
        self.insecure = insecure
        self._exit = ExitStack()
        self._record: RunRecord | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.home.locked())
            previous = self.home.read_run()
            if previous:
                self.replaced = _stop_leftovers(previous)
                # Their ports are free now, and the folder has no owner should the next lines fail.
                self.home.clear_run()
            self.taken_over = signing.prepare(self.home)
            self.ports = Ports(stack.enter_context(ports.reserved(_wanted(previous, self.observers))))
            specs = process_specs(self.home, self.ports, self._triton, self._certificates(stack))
            specs += observer_specs(self.home, self.ports, self.observers)
            self._record = RunRecord(
                supervisor=own_identity(),
                addresses={name: self.ports.address(name) for name in self._names},
                metrics_urls=self.ports.metrics_urls,
            )
            self.home.write_run(self._record)
            self._supervisor = Supervisor(specs, self._changed)
            stack.callback(self._stop)
            self._supervisor.start()
            self._exit = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._exit.close()

    @property
    def _names(self) -> tuple[str, ...]:
        return (*NAMES, *self.observers)

    @property
    def record(self) -> RunRecord:
        """What runs, and where."""
        if self._record is None:
            raise RuntimeError("the stack has not been started")
        return self._record

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Waits until every process serves; raises NotReadyError otherwise."""
        self._supervisor.wait_ready(seconds)

    def snapshot(self) -> list[Status]:
        """Returns the status of every process."""
        return self._supervisor.snapshot()

    def _certificates(self, stack: ExitStack) -> SuiteCertificates | None:
        """Makes what is missing now, and later what is near its end, for as long as the suite runs."""
        certificates = self.home.certificates
        if self.insecure:
            certificates.forget_client()
            return None
        certificates.prepare()
        stack.enter_context(_kept_fresh(certificates))
        return certificates

    def _changed(self, status: Status) -> None:
        known = {name: identity for name, identity in self.record.processes.items() if name != status.name}
        if status.process:
            known[status.name] = status.process
        self._record = self.record.model_copy(update={"processes": known})
        self.home.write_run(self._record)
        self._on_change(status)

    def _stop(self) -> None:
        """Stops the processes last to first, and the training workers together with their controller.

        The controller hears of the stop first, so that it starts no new attempt, and stays for a moment to take the
        last checkpoint of each worker.
        """
        self._supervisor.let_go()
        for name in reversed(self._names):
            workers = []
            if name == TRAINING and (controller := self.record.processes.get(TRAINING)):
                workers = list({*processes.descendants(controller.pid), *self.home.workers()})
                processes.terminate([controller, *workers])
            self._supervisor.stop_one(name)
            processes.stop(workers, WORKER_STOP_SECONDS)
        self.home.clear_run()


@contextmanager
def _kept_fresh(certificates: SuiteCertificates) -> Iterator[None]:
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEW_SECONDS):
            certificates.prepare()

    thread = threading.Thread(target=renew, name="certificates", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _stop_leftovers(previous: RunRecord) -> list[int]:
    """Stops what a killed supervisor had started, and what those had started; workers have sessions of their own."""
    started = list(previous.processes.values())
    helpers = [member for leader in started for member in processes.session_members(leader)]
    return processes.stop([*started, *helpers], seconds=15)


def _wanted(previous: RunRecord | None, observers: Sequence[str]) -> dict[str, list[int]]:
    """Prefers the ports of a supervisor that was killed: workers that outlived it report to its controller's."""
    defaults = DEFAULT_PORTS | {name: OBSERVER_PORTS[name] for name in observers}
    before = previous.addresses if previous else {}
    return {
        name: [split_address(before[name])[1], port] if name in before else [port] for name, port in defaults.items()
    }
