"""The reference language model: a Hugging Face causal or seq2seq model in torch, on CPU or GPU."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, DynamicCache, EncoderDecoderCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError
from symbiont.engine.generation.model import Prefill, Rows
from symbiont.engine.generation.sampling import TokenSampler, choose
from symbiont.engine.generation.types import GeneratorFacts, Kind, Sampling
from symbiont.engine.row import Ids

KIND = "bases"
_CLASSES: dict[Kind, Any] = {"causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM}


class _BaseFields(BaseModel):
    """What a generator needs of a base's manifest; the rest of it is for others."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    kind: Literal["base"]
    format_version: Literal[1]
    model_kind: Kind
    max_length: int


class TorchLanguageModel:
    """A frozen language model. Loading it sets torch's thread count for the whole process."""

    def __init__(self, store: ArtifactStore, digest: str, *, threads: int = 0, device: str = "cpu") -> None:
        """Loads and verifies a base.

        Args:
            store: where it is.
            digest: of the artifact of kind `bases`.
            threads: for one operation; 0 leaves torch's own choice.
            device: as torch names it, or `auto` for a GPU where there is one. On a GPU it computes in bf16.

        Raises:
            NotFound: no such base.
            IntegrityError: the base is damaged, or its manifest describes no language model.
        """
        if threads:
            torch.set_num_threads(threads)
        chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self._device = torch.device(chosen)
        fields = _read_fields(store, digest)
        dtype = torch.float32 if self._device.type == "cpu" else torch.bfloat16
        self._model: PreTrainedModel = _CLASSES[fields.model_kind].from_pretrained(
            store.path(KIND, digest),
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        )
        self._model.requires_grad_(False).eval().to(self._device)
        self._facts = GeneratorFacts(
            digest=digest,
            kind=fields.model_kind,
            max_length=fields.max_length,
            vocab_size=self._model.config.get_text_config(decoder=True).vocab_size,
            eos_ids=frozenset(_as_list(self._setting("eos_token_id"))),
        )

    @property
    def facts(self) -> GeneratorFacts:
        """The model that is loaded."""
        return self._facts

    def sampler(self, sampling: Sampling, prompt: Ids) -> TokenSampler:
        """Returns what chooses the tokens of one sequence; only a causal model writes on from its prompt."""
        seen = prompt if self._facts.kind == "causal" else prompt[:0]
        return TokenSampler(sampling, seen, self._facts.vocab_size, self._device)

    def begin(self, prompt: Ids) -> Prefill:
        """Begins to take a prompt in."""
        ids = torch.tensor(prompt, dtype=torch.long, device=self._device)[None]
        if self._facts.kind == "causal":
            return _CausalPrefill(self._model, ids)
        start = self._setting("decoder_start_token_id")
        if start is None:
            raise IntegrityError(f"{KIND}/{self._facts.digest}: its configuration lacks decoder_start_token_id")
        return _Seq2SeqPrefill(self._model, ids, int(start))

    def _setting(self, name: str) -> Any:
        generation = getattr(self._model.generation_config, name, None)
        return generation if generation is not None else getattr(self._model.config, name, None)


class _CausalPrefill:
    """A prompt that goes in by parts, alone and so without padding."""

    def __init__(self, model: PreTrainedModel, ids: Tensor) -> None:
        self._model = model
        self._ids = ids
        self._done = 0
        self._cache = DynamicCache()

    @torch.inference_mode()
    def advance(self, max_tokens: int) -> Rows | None:
        part = self._ids[:, self._done : self._done + max_tokens]
        positions = torch.arange(self._done, self._done + part.shape[1], device=part.device)[None]
        output = self._model(
            input_ids=part, position_ids=positions, past_key_values=self._cache, use_cache=True, logits_to_keep=1
        )
        self._done += part.shape[1]
        if self._done < self._ids.shape[1]:
            return None
        return CausalRows(self._model, self._cache, torch.ones_like(self._ids), output.logits[:, -1].float())


class CausalRows:
    """Sequences of a causal model, padded on the left to one width; each has positions of its own.

    mask is [rows, width] of 0 and 1, logits [rows, vocab_size], each layer of the cache [rows, heads, width, size].
    """

    def __init__(self, model: PreTrainedModel, cache: DynamicCache, mask: Tensor, logits: Tensor) -> None:
        self._model = model
        self._cache = cache
        self._mask = mask
        self._logits = logits

    def __len__(self) -> int:
        return len(self._mask)

    def choose(self, samplers: Sequence[TokenSampler]) -> list[int | Exception]:
        """Returns the next token of each row, or what its sampler raised."""
        return choose(self._logits, samplers)

    @torch.inference_mode()
    def advance(self, tokens: Sequence[int]) -> None:
        """Takes one token more into each row."""
        positions = self._mask.sum(-1, keepdim=True)
        self._mask = nn.functional.pad(self._mask, (0, 1), value=1)
        output = self._model(
            input_ids=torch.tensor(tokens, device=self._mask.device)[:, None],
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
        )
        self._logits = output.logits[:, -1].float()

    def keep(self, indices: Sequence[int]) -> None:
        """Drops all rows but these."""
        rows = torch.tensor(indices, dtype=torch.long, device=self._mask.device)
        self._mask, self._logits = self._mask[rows], self._logits[rows]
        # Columns that are padding in every row that is left.
        empty = int((self._mask.sum(0) == 0).sum())
        self._mask = self._mask[:, empty:]
        for layer in _layers(self._cache):
            layer.keys, layer.values = layer.keys[rows][:, :, empty:], layer.values[rows][:, :, empty:]

    def join(self, other: Rows) -> bool:
        """Takes the rows of another in behind its own, if these can step together."""
        if not isinstance(other, CausalRows):
            return False
        width = max(self._mask.shape[1], other._mask.shape[1])
        for mine, theirs in zip(_layers(self._cache), _layers(other._cache), strict=True):
            mine.keys = torch.cat([_widen(mine.keys, width), _widen(theirs.keys, width)])
            mine.values = torch.cat([_widen(mine.values, width), _widen(theirs.values, width)])
        masks = [nn.functional.pad(mask, (width - mask.shape[1], 0)) for mask in (self._mask, other._mask)]
        self._mask = torch.cat(masks)
        self._logits = torch.cat([self._logits, other._logits])
        return True


def _layers(cache: Any) -> Sequence[Any]:
    """Returns the layers of a DynamicCache: `keys` and `values`, [rows, heads, tokens, size]."""
    layers: Sequence[Any] = cache.layers
    return layers


def _widen(values: Tensor, width: int) -> Tensor:
    """Pads [rows, heads, tokens, size] on the left to `width` tokens."""
    return nn.functional.pad(values, (0, 0, width - values.shape[2], 0))


class _Seq2SeqPrefill:
    """A prompt that the encoder reads in one go."""

    def __init__(self, model: PreTrainedModel, ids: Tensor, start: int) -> None:
        self._model = model
        self._ids = ids
        self._start = start

    @torch.inference_mode()
    def advance(self, max_tokens: int) -> Rows | None:
        mask = torch.ones_like(self._ids)
        encoder: Any = self._model.get_encoder()
        states = encoder(input_ids=self._ids, attention_mask=mask).last_hidden_state
        rows = Seq2SeqRows(self._model, EncoderDecoderCache(DynamicCache(), DynamicCache()), states, mask)
        rows.advance([self._start])
        return rows


class Seq2SeqRows:
    """Sequences of an encoder-decoder whose texts are equally long, so that the decoder needs no padding.

    states is [rows, width, hidden], mask [rows, width] of the encoder, padded on the right.
    """

    def __init__(self, model: PreTrainedModel, cache: EncoderDecoderCache, states: Tensor, mask: Tensor) -> None:
        self._model = model
        self._cache = cache
        self._states = states
        self._mask = mask
        self._length = 0
        self._logits = torch.empty(0)

    def __len__(self) -> int:
        return len(self._mask)

    def choose(self, samplers: Sequence[TokenSampler]) -> list[int | Exception]:
        """Returns the next token of each row, or what its sampler raised."""
        return choose(self._logits, samplers)

    @torch.inference_mode()
    def advance(self, tokens: Sequence[int]) -> None:
        """Takes one token more into each row."""
        output = self._model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self._states),
            attention_mask=self._mask,
            decoder_input_ids=torch.tensor(tokens, device=self._mask.device)[:, None],
            past_key_values=self._cache,
            use_cache=True,
        )
        self._length += 1
        self._logits = output.logits[:, -1].float()

    def keep(self, indices: Sequence[int]) -> None:
        """Drops all rows but these."""
        rows = torch.tensor(indices, dtype=torch.long, device=self._mask.device)
        self._mask, self._states, self._logits = self._mask[rows], self._states[rows], self._logits[rows]
        width = int(self._mask.sum(-1).max())
        self._mask, self._states = self._mask[:, :width], self._states[:, :width]
        for layer in _layers(self._cache.self_attention_cache):
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]
        for layer in _layers(self._cache.cross_attention_cache):
            layer.keys, layer.values = layer.keys[rows][:, :, :width], layer.values[rows][:, :, :width]

    def join(self, other: Rows) -> bool:
        """Takes the rows of another in behind its own, if these can step together."""
        if not isinstance(other, Seq2SeqRows) or other._length != self._length:
            return False
        width = max(self._mask.shape[1], other._mask.shape[1])
        selves = (_layers(cache.self_attention_cache) for cache in (self._cache, other._cache))
        for left, right in zip(*selves, strict=True):
            left.keys, left.values = torch.cat([left.keys, right.keys]), torch.cat([left.values, right.values])
        crosses = (_layers(cache.cross_attention_cache) for cache in (self._cache, other._cache))
        for left, right in zip(*crosses, strict=True):
            left.keys = torch.cat([_lengthen(left.keys, width), _lengthen(right.keys, width)])
            left.values = torch.cat([_lengthen(left.values, width), _lengthen(right.values, width)])
        self._states = torch.cat([_lengthen(self._states, width), _lengthen(other._states, width)])
        masks = [nn.functional.pad(mask, (0, width - mask.shape[1])) for mask in (self._mask, other._mask)]
        self._mask = torch.cat(masks)
        self._logits = torch.cat([self._logits, other._logits])
        return True


def _lengthen(values: Tensor, width: int) -> Tensor:
    """Pads [..., tokens, size] on the right to `width` tokens."""
    return nn.functional.pad(values, (0, 0, 0, width - values.shape[-2]))


def _as_list(value: int | list[int] | None) -> list[int]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _read_fields(store: ArtifactStore, digest: str) -> _BaseFields:
    try:
        return _BaseFields.model_validate(store.manifest(KIND, digest))
    except ValidationError as exc:
        raise IntegrityError(f"{KIND}/{digest}: the manifest does not describe a language model") from exc
