"""A process on fakes that knows model x: version 1 serves, and 2 and 3 may be tried."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from symbiont.common.background import running
from symbiont.engine.row import Floats, HostAnswer
from symbiont.inference.bundles import BundleShelf
from symbiont.inference.deadline import Deadline
from symbiont.inference.instances import Instance, Text
from symbiont.inference.predictor import rows_of
from symbiont.inference.reference import ModelReference
from symbiont.inference.releases.shadow import Question
from symbiont.inference.table import RoutingTable
from symbiont.inference.tasks.plan import encode_fields
from symbiont.inference.tokens import TokenQuery, Tokens
from symbiont.inference.types import AliasUpdate, BundleInfo, ModelVersion, Release, Role, Served

YES, NO = [0.0, 4.0, 2.0], [4.0, 0.0, 2.0]


@dataclass
class Process:
    """Parts joined as the process joins them; `infos` are the facts of bundles by digest."""

    table: RoutingTable
    releases: Any
    shadows: Any
    disagreements: Any
    hosts: Any
    registry: Any
    tokens: Any
    infos: dict[str, BundleInfo]
    alias: Any
    version: Any
    prometheus: Any

    def begin(self, release: Release | None, *, proven: bool = True) -> None:
        """Tells of a release, and that all versions answer."""
        self.table.apply(AliasUpdate([self.alias("x", release=release)], complete=True))
        for version in self.table.unproven() if proven else ():
            self.table.prove(version)

    def role(self, key: str | None = "") -> Role | None:
        """Returns what a call to the alias is to its release."""
        role: Role | None = self.releases.role_of(ModelReference("x"), key)
        return role

    async def ask(
        self,
        texts: Sequence[str] = ("one two", "three"),
        role: Role | None = None,
        tenant: str = "",
        numbers: Sequence[float] = (),
    ) -> HostAnswer:
        """Sends texts as the predictor does, to whom the role says; `numbers` are the field `amount` of each."""
        version = role.release.candidate if role and role.is_candidate else self.version("x", 1)
        served = Served(version, self.infos[version.bundle_digest], role)
        query = TokenQuery(list(texts))

        def features(bundle: BundleInfo) -> Sequence[Floats]:
            fields = [[("amount", number)] for number in numbers] or [[]] * len(texts)
            return [encode_fields("", Instance(Text(""), own), bundle) for own in fields]

        tokens = await self._tokenize(version, query)
        question = Question(tokens, query, self._again(query, features), features)
        deadline = Deadline(5, tenant)
        rows = rows_of(tokens, served, features(served.bundle), deadline)
        answer: HostAnswer = await self.releases.infer_rows(served, rows, question, deadline)
        return answer

    async def _tokenize(self, version: ModelVersion, query: TokenQuery) -> Tokens:
        most = self.infos[version.bundle_digest].max_tokens
        tokens: Tokens = await self.tokens.tokenize(version.tokenizer_digest, query, most, 1.0)
        return tokens

    def _again(
        self, query: TokenQuery, features: Callable[[BundleInfo], Sequence[Floats]]
    ) -> Callable[[Served, Deadline], Any]:
        async def ask(other: Served, deadline: Deadline) -> Any:
            tokens = await self._tokenize(other.version, query)
            rows = rows_of(tokens, other, features(other.bundle), deadline)
            return (await self.releases.infer_rows(other, rows, Question(), deadline)).rows

        return ask

    def count(self, name: str, **labels: str) -> float | None:
        """Returns a metric."""
        found: float | None = self.prometheus.get_sample_value(f"symbiont_inference_{name}", labels)
        return found


@pytest.fixture
async def process(
    registry: Any,
    hosts: Any,
    tokens: Any,
    metrics: Any,
    prometheus: Any,
    alias: Any,
    version: Any,
    info: BundleInfo,
    releases_of: Any,
) -> AsyncIterator[Process]:
    table = RoutingTable()
    infos = {version("x", number).bundle_digest: replace(info) for number in (1, 2, 3)}
    for number, logits in ((1, YES), (2, NO), (3, YES)):
        hosts.logits[version("x", number).bundle_digest] = logits
    shelf = BundleShelf(lambda digest: infos[digest], 4)
    releases, shadows, disagreements = releases_of(table, registry, hosts, shelf, metrics)
    made = Process(table, releases, shadows, disagreements, hosts, registry, tokens, infos, alias, version, prometheus)
    async with running("releases", releases.run), running("shadows", shadows.run):
        yield made
