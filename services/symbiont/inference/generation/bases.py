"""From the name of a base model to what must be known of it to generate."""

import asyncio
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition, IntegrityError, NotFound
from symbiont.common.lru import Lru
from symbiont.engine.generation.types import Kind
from symbiont.inference.deadline import Deadline
from symbiont.inference.generation.ports import BaseRegistry
from symbiont.inference.generation.types import Base, GeneratorInfo

KIND = "bases"
FIELD = "base_model"
CHAT_TEMPLATE = "chat_template.jinja"


class _Manifest(BaseModel):
    """What a generation needs of a base's manifest; the rest of it is for others."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    kind: Literal["base"]
    format_version: Literal[1]
    model_kind: Kind
    max_length: int
    special_tokens: dict[str, str] = {}
    files: dict[str, Any]


class GeneratorShelf:
    """Facts of generators by the id of their base. What an id stands for never changes, so each is asked for once."""

    def __init__(self, registry: BaseRegistry, store: ArtifactStore, capacity: int) -> None:
        self._registry = registry
        self._store = store
        self._known: Lru[str, GeneratorInfo] = Lru(capacity)

    async def get(self, identifier: str, deadline: Deadline) -> GeneratorInfo:
        """Returns what a base is.

        Raises:
            NotFound: there is no such base.
            FailedPrecondition: it is no language model, or is gone from the store.
            IntegrityError: what is stored does not match its digest.
            Unavailable: it is not known here and the registry cannot be asked.
        """
        if found := self._known.get(identifier):
            return found
        try:
            base = await self._registry.base(identifier, deadline.remaining())
        except NotFound as exc:
            raise NotFound(f"bases/{identifier} does not exist", field=FIELD) from exc
        found = await asyncio.to_thread(self._read, base)
        self._known.put(identifier, found)
        return found

    def _read(self, base: Base) -> GeneratorInfo:
        try:
            manifest = self._store.manifest(KIND, base.digest)
        except NotFound as exc:
            raise FailedPrecondition(f"bases/{base.id}: {base.digest} is not in the artifact store") from exc
        if "model_kind" not in manifest:
            problem = f"bases/{base.id} is an encoder: it answers Predict through the models trained on it"
            raise FailedPrecondition(problem, reason="NOT_A_GENERATOR", field=FIELD)
        try:
            fields = _Manifest.model_validate(manifest)
        except ValidationError as exc:
            raise IntegrityError(f"{KIND}/{base.digest}: the manifest does not describe a language model") from exc
        template = self._template(base) if CHAT_TEMPLATE in fields.files else None
        return GeneratorInfo(base, fields.model_kind, fields.max_length, template, fields.special_tokens)

    def _template(self, base: Base) -> str:
        # Checks every file of the base, once: that of the template must be the one that the digest pins.
        return (self._store.path(KIND, base.digest) / CHAT_TEMPLATE).read_text(encoding="utf-8")
