"""Measures every server on every workload, in rounds: figures of one round were taken within a minute of each other."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from serving.client import Outcome
from serving.inprocess import InProcess
from serving.processes import cpu_seconds
from serving.servers import Server
from serving.workloads import Workload

# fp32 engines differ in the last bits, which may turn a text that lies on the border; bf16 and int8 a little more.
LEAST_AGREEMENT = 0.995
IDLE_SECONDS = 2.0


@dataclass
class Findings:
    """Outcomes by workload and server, one a round; `faults` says why a server's figures do not count."""

    outcomes: dict[tuple[str, str], list[Outcome]] = field(default_factory=dict)
    agreement: dict[tuple[str, str], float] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    idle: dict[str, float] = field(default_factory=dict)

    def of(self, workload: Workload, name: str) -> list[Outcome]:
        """Returns the outcomes of a server that counts; empty when it does not."""
        return [] if name in self.faults else self.outcomes.get((workload.name, name), [])


def measure(
    servers: Sequence[Server],
    limits: Sequence[InProcess],
    workloads: Sequence[Workload],
    rounds: int,
    warm_up: bool,
    say: Callable[[str], None],
) -> Findings:
    """Measures; with `warm_up` one round goes before the others that does not count. Labels are compared in all."""
    findings = Findings()
    for server in servers:
        findings.idle[server.name] = _idle(server)
    for number in range(0 if warm_up else 1, rounds + 1):
        for workload in workloads:
            started = time.perf_counter()
            expected = _measure_limits(limits, workload, findings, number)
            # In another order each time, so that nobody always comes after the same one.
            turn = number % len(servers)
            for server in (*servers[turn:], *servers[:turn]):
                _measure_server(server, workload, expected, findings, number)
            say(f"round {number} of {rounds}: {workload.name}, {time.perf_counter() - started:.0f} s")
    return findings


def _measure_limits(limits: Sequence[InProcess], workload: Workload, findings: Findings, number: int) -> Sequence[str]:
    expected: Sequence[str] = ()
    for limit in limits:
        outcome, labels = limit.measure(workload)
        expected = expected or labels
        _keep(findings, workload, limit.name, outcome, number)
        _compare(findings, workload, limit.name, labels, expected)
    return expected


def _measure_server(
    server: Server, workload: Workload, expected: Sequence[str], findings: Findings, number: int
) -> None:
    if server.name in findings.faults:
        return
    outcome = server.measure(workload)
    if outcome.failure:
        findings.faults[server.name] = f"{workload.name}: {outcome.failure}"
        return
    _compare(findings, workload, server.name, server.labels(outcome), expected)
    outcome.replies.clear()
    _keep(findings, workload, server.name, outcome, number)


def _keep(findings: Findings, workload: Workload, name: str, outcome: Outcome, number: int) -> None:
    if number:
        findings.outcomes.setdefault((workload.name, name), []).append(outcome)


def _compare(findings: Findings, workload: Workload, name: str, labels: Sequence[str], expected: Sequence[str]) -> None:
    same = sum(a == b for a, b in zip(labels, expected, strict=True)) / len(expected)
    key = (workload.name, name)
    findings.agreement[key] = min(same, findings.agreement.get(key, 1.0))
    if same < LEAST_AGREEMENT:
        findings.faults[name] = f"{workload.name}: {same:.1%} of the labels are those of the limit"


def _idle(server: Server) -> float:
    """Returns the share of a core that a server takes when nobody asks it anything."""
    with server.awake() as parts:
        pids = [pid for found in parts.values() for pid in found]
        before = cpu_seconds(pids)
        time.sleep(IDLE_SECONDS)
        return (cpu_seconds(pids) - before) / IDLE_SECONDS
