"""Which tokenizers there are, and how new ones come: taken from a folder or a package, or derived from another."""

from collections.abc import Sequence
from dataclasses import dataclass

from symbiont.common.errors import IntegrityError, InvalidArgument
from symbiont.common.pages import page_of
from symbiont.common.resources import check_id, parse_digest_or_id
from symbiont.common.sources import in_folder, in_package
from symbiont.tokenization.analysis import Figures
from symbiont.tokenization.derive import check_terms, derive
from symbiont.tokenization.encoding import figures
from symbiont.tokenization.library import KIND, TokenizerLibrary
from symbiont.tokenization.metrics import TokenizationMetrics
from symbiont.tokenization.registering import is_source, read_source
from symbiont.tokenization.types import AddedTerm, Source, TokenizerInfo
from symbiont.tokenization.work import Work

MAX_SAMPLE = 4096


@dataclass(frozen=True)
class Derivation:
    """A derived tokenizer and what its terms change."""

    info: TokenizerInfo
    added: tuple[AddedTerm, ...]
    known: tuple[str, ...]
    before: Figures
    after: Figures


class Catalogue:
    """The use cases that are about tokenizers. All of them touch the disk, and so run in threads."""

    def __init__(self, library: TokenizerLibrary, metrics: TokenizationMetrics, work: Work) -> None:
        self._library = library
        self._metrics = metrics
        self._work = work

    async def get(self, name: str) -> TokenizerInfo:
        """Describes a tokenizer; NotFound when there is none."""
        key = parse_digest_or_id("name", KIND, name)
        return await self._work.block(lambda: self._library.describe(key))

    async def list(self, page_size: int, page_token: str) -> tuple[Sequence[TokenizerInfo], str]:
        """Describes one page of tokenizers, ordered by digest; returns it with the token of the next page."""

        def read() -> tuple[Sequence[TokenizerInfo], str]:
            digests, token = page_of([(d, d) for d in self._library.digests()], page_size, page_token)
            return self._library.describe_all(digests), token

        return await self._work.block(read)

    async def register(self, identifier: str, source: Source, max_tokens: int) -> TokenizerInfo:
        """Takes a tokenizer into the store under an id.

        Raises:
            InvalidArgument: the source holds none that can serve.
            AlreadyExists: the id stands for another.
        """

        def store() -> TokenizerInfo:
            if source.kind == "folder":
                folder = in_folder("folder", source.location)
            else:
                folder = in_package("package", source.location, source.detail, is_source, "a tokenizer")
            files, fields = read_source(folder, source.kind, max_tokens)
            try:
                return self._library.describe(self._library.add(files, fields, identifier).info.digest)
            except IntegrityError as exc:
                raise InvalidArgument(source.kind, str(exc)) from exc

        with self._metrics.refusals.counted():
            check_id("tokenizer_id", identifier)
            if not source.kind:
                raise InvalidArgument("source", "neither folder nor package is given")
            return await self._work.block(store)

    async def derive(self, name: str, terms: Sequence[str], identifier: str, sample: Sequence[str]) -> Derivation:
        """Makes a tokenizer with more terms out of one, and measures on a sample what they change.

        Raises:
            InvalidArgument: a term or the sample is out of its limits.
            FailedPrecondition: the parent is a slow tokenizer.
            AlreadyExists: the id stands for another tokenizer.
        """
        with self._metrics.refusals.counted():
            key = parse_digest_or_id("tokenizer", KIND, name)
            checked = check_terms(terms)
            if identifier:
                check_id("tokenizer_id", identifier)
            if len(sample) > MAX_SAMPLE:
                problem = f"{len(sample)} texts, at most {MAX_SAMPLE} are taken"
                raise InvalidArgument("sample", problem, reason="BATCH_TOO_LARGE")
            return await self._work.block(lambda: self._derive(key, checked, identifier, sample))

    def _derive(self, key: str, terms: Sequence[str], identifier: str, sample: Sequence[str]) -> Derivation:
        parent = self._library.get(key)
        derived = derive(parent, self._library.definition(parent), terms)
        child = parent
        if derived.definition:
            fields = {**self._library.fields(parent), "parent": parent.info.digest}
            child = self._library.add({"tokenizer.json": derived.definition}, fields, identifier)
        elif identifier:
            self._library.tag(parent, identifier)
        before = parent.encode(sample, detail=False)
        after = child.encode(sample, detail=False)
        return Derivation(
            self._library.describe(child.info.digest),
            derived.counted([content.ids for content in after]),
            derived.known,
            figures(parent, sample, before),
            figures(child, sample, after),
        )
