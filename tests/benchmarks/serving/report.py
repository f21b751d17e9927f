"""The tables, and which bars hold."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from serving.client import Outcome
from serving.rounds import Findings
from serving.workloads import Workload

OURS = "symbiont"
Figure = Callable[[Outcome, Workload], float]


@dataclass(frozen=True)
class Bar:
    """A promise on one workload: a figure of ours over that of the best peer or limit, by the median of the rounds."""

    workload: str
    name: str
    figure: str
    against: str
    limit: float
    at_least: bool


BARS = (
    Bar("short", "12 words, 32 at once: throughput / best peer", "throughput", "peer", 2.0, True),
    Bar("short", "12 words, 32 at once: p99 / the same peer", "p99", "peer", 1.0, False),
    Bar("batch", "32 texts a call: throughput / best peer", "throughput", "peer", 2.5, True),
    Bar("mixed", "mixed lengths, 32 at once: throughput / best peer", "throughput", "peer", 2.0, True),
    Bar("one", "one call after another: p50 / best peer", "p50", "peer", 1.2, False),
    Bar("batch", "32 texts a call: throughput / best runtime in process", "throughput", "in process", 0.70, True),
)
FIGURES: dict[str, Figure] = {
    "throughput": lambda outcome, workload: workload.texts / outcome.seconds,
    "p50": lambda outcome, _: outcome.percentile(0.50),
    "p99": lambda outcome, _: outcome.percentile(0.99),
}


class Report:
    """Prints what was found about `peers` (those that did start) and `limits`, by name."""

    def __init__(
        self, findings: Findings, workloads: Sequence[Workload], peers: Sequence[str], limits: Sequence[str]
    ) -> None:
        self._findings = findings
        self._workloads = {workload.name: workload for workload in workloads}
        self._peers, self._limits = peers, limits
        self._names = dict.fromkeys(name for _, name in findings.outcomes)
        self._console = Console(width=132)

    def print(self, absent: dict[str, str]) -> bool:
        """Prints all of it; returns whether every bar held. `absent` says why a peer was not measured."""
        for workload in self._workloads.values():
            self._print_workload(workload)
        self._print_stages()
        for name, why in (absent | self._findings.faults).items():
            self._console.print(f"not counted: {name}: {why}", markup=False)
        judged = [self._judge(bar) for bar in BARS]
        return all(judged)

    def _print_workload(self, workload: Workload) -> None:
        columns = (
            "texts/s",
            "p50 ms",
            "p99 ms",
            "server CPU us/text",
            "client CPU us/text",
            "labels agree",
            "idle CPU",
        )
        table = Table("", *columns, title=f"{workload.name}: {workload.title}")
        for name in self._ranked(workload, self._names):
            found = self._findings.of(workload, name)
            cpu = [1e6 * sum(o.cpu.values()) / workload.texts for o in found]
            own = [1e6 * o.client_cpu / workload.texts for o in found]
            speed = [FIGURES["throughput"](o, workload) for o in found]
            cells = [f"{median(speed):.0f} ({min(speed):.0f}-{max(speed):.0f})"]
            cells += [
                f"{median(o.percentile(p) for o in found):.1f}" if found[0].latencies else "" for p in (0.5, 0.99)
            ]
            cells += [f"{median(cpu):.0f}", f"{median(own):.0f}"]
            cells += [f"{self._findings.agreement[workload.name, name]:.2%}"]
            cells += [f"{self._findings.idle[name]:.1%}" if name in self._findings.idle else ""]
            table.add_row(name, *cells)
        self._console.print(table)

    def _print_stages(self) -> None:
        """Says where the CPU of one text goes on our side, in microseconds."""
        found = {name: self._findings.of(workload, OURS) for name, workload in self._workloads.items()}
        parts = [*dict.fromkeys(part for outcomes in found.values() for o in outcomes for part in o.cpu), "client"]
        table = Table("workload", *parts, title=f"{OURS}: CPU us of a text")
        for name, outcomes in found.items():
            texts = self._workloads[name].texts
            spent = [{**o.cpu, "client": o.client_cpu} for o in outcomes]
            if spent:
                table.add_row(name, *(f"{median(1e6 * each[part] / texts for each in spent):.0f}" for part in parts))
        self._console.print(table)

    def _judge(self, bar: Bar) -> bool:
        workload = self._workloads[bar.workload]
        ours = self._findings.of(workload, OURS)
        others = self._peers if bar.against == "peer" else self._limits
        best = next(self._ranked(workload, others), "")
        if not ours or not best:
            self._console.print(f"missed: {bar.name}: {'nothing to compare with' if ours else 'no figure of ours'}")
            return False
        figure, theirs = FIGURES[bar.figure], self._findings.of(workload, best)
        ratio = median(figure(a, workload) / figure(b, workload) for a, b in zip(ours, theirs, strict=True))
        held = ratio >= bar.limit if bar.at_least else ratio <= bar.limit
        wanted = f"{'at least' if bar.at_least else 'at most'} {bar.limit:g}"
        self._console.print(f"{'held' if held else 'missed'}: {bar.name}: {ratio:.2f} ({wanted}; {best})", markup=False)
        return held

    def _ranked(self, workload: Workload, names: Sequence[str] | dict[str, None]) -> Iterator[str]:
        """Yields those that count, the best first."""
        counted = [name for name in names if self._findings.of(workload, name)]

        def rank(name: str) -> float:
            found = self._findings.of(workload, name)
            if workload.judged_by_latency and found[0].latencies:
                return median(outcome.percentile(0.5) for outcome in found)
            return median(outcome.seconds for outcome in found)

        yield from sorted(counted, key=rank)
