"""What the inference domain needs of the world around it. Every method may raise Unavailable or DeadlineExceeded."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from symbiont.engine.row import HostAnswer, Row
from symbiont.inference.tokens import TokenQuery, Tokens
from symbiont.inference.types import Alias, AliasUpdate, LicensedBase, ModelVersion, Priority


class Registry(Protocol):
    """Knows models, versions and aliases."""

    def watch(self) -> AsyncIterator[AliasUpdate]:
        """Yields all aliases, then each change as it is made, until the registry goes away."""
        ...

    async def aliases(self, model: str, timeout_s: float) -> Sequence[Alias]:
        """Returns the aliases of a model; NotFound when there is no such model."""
        ...

    async def version(self, model: str, number: int, timeout_s: float) -> ModelVersion:
        """Returns a version of a model; NotFound when there is none."""
        ...

    async def end_release(self, name: str, reason: str, timeout_s: float) -> None:
        """Ends a release because a rule was broken; one that has ended stays as it is."""
        ...


class BaseList(Protocol):
    """Knows all base models."""

    async def licensed(self) -> Sequence[LicensedBase]:
        """Returns all of them, with their terms."""
        ...


class TokenSource(Protocol):
    """Turns text into tokens."""

    async def tokenize(self, digest: str, query: TokenQuery, max_tokens: int, timeout_s: float) -> Tokens:
        """Tokenizes a batch with the tokenizer of a digest; `max_tokens` 0 leaves the cut to the tokenizer.

        InvalidArgument: a pair does not fit, because the first text leaves no room for the second; its field is
        `texts[i]`.
        """
        ...


class HostLoader(Protocol):
    """Has hosts loaded in Triton."""

    async def host_ready(self, base_digest: str) -> bool:
        """Whether Triton answers and has the host of a base loaded; it raises nothing."""
        ...

    async def ensure_host(self, base_digest: str) -> None:
        """Returns once the host of a base is loaded in Triton, loading it if need be."""
        ...


class HostClient(HostLoader, Protocol):
    """Reaches the hosts in Triton."""

    async def infer_rows(
        self, base_digest: str, rows: Sequence[Row], *, timeout_s: float, request_id: str, spare: int = 0
    ) -> HostAnswer:
        """Returns the values of each row, or its error, in the order of the rows; a missing host is loaded first.

        Rows leave as many of the host's lanes to others as `spare` says, if it has more than these.

        A caller that gives up does not cancel the work within Triton. A row's NotFound, IntegrityError or
        InvalidArgument is about its bundle or itself.
        """
        ...


class SharedHosts(Protocol):
    """The hosts, where calls wait for their turn."""

    async def infer_rows(
        self,
        base_digest: str,
        rows: Sequence[Row],
        *,
        timeout_s: float,
        request_id: str,
        tenant: str,
        is_named: bool,
        priority: Priority,
    ) -> HostAnswer:
        """As HostClient; ResourceExhausted when too much waits already.

        Tenant and priority decide the turn; `is_named` says whether the caller has a tenant, or it is a model.
        """
        ...

    def count_known(self, tenant: str) -> None:
        """Counts a call that was answered without a host; ResourceExhausted where its tenant asks for too many."""
        ...
