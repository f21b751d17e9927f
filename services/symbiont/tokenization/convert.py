"""Between the messages of symbiont.tokenization.v1 and the domain."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.common.errors import InvalidArgument
from symbiont.common.offsets import OffsetUnit
from symbiont.tokenization import analysis
from symbiont.tokenization.catalogue import Derivation
from symbiont.tokenization.tokenization import Analysis
from symbiont.tokenization.types import (
    DEFAULTS,
    Batch,
    Encoded,
    Options,
    Output,
    Padding,
    Settings,
    Source,
    SpecialToken,
    StreamPart,
    TokenizerInfo,
    Truncation,
)

_COLLECTION = "tokenizers"
V = TypeVar("V")
TRUNCATIONS = {
    pb.TRUNCATION_UNSPECIFIED: Truncation.LONGEST_FIRST,
    pb.TRUNCATION_LONGEST_FIRST: Truncation.LONGEST_FIRST,
    pb.TRUNCATION_ONLY_FIRST: Truncation.ONLY_FIRST,
    pb.TRUNCATION_ONLY_SECOND: Truncation.ONLY_SECOND,
    pb.TRUNCATION_REFUSE: Truncation.REFUSE,
}
SIDES = {pb.SIDE_UNSPECIFIED: False, pb.SIDE_RIGHT: False, pb.SIDE_LEFT: True}
UNITS = {
    pb.OFFSET_UNIT_UNSPECIFIED: OffsetUnit.CODE_POINT,
    pb.OFFSET_UNIT_CODE_POINT: OffsetUnit.CODE_POINT,
    pb.OFFSET_UNIT_UTF8_BYTE: OffsetUnit.UTF8_BYTE,
    pb.OFFSET_UNIT_UTF16_UNIT: OffsetUnit.UTF16_UNIT,
}
OUTPUTS = {getattr(pb, f"OUTPUT_{output.name}"): output for output in Output}


def settings_from_proto(message: pb.TokenizeRequest | pb.StreamSettings, prefix: str = "") -> Settings:
    """Reads which tokenizer and how; InvalidArgument names an enum of an unknown value."""
    options = _options_from_proto(message.options, prefix) if message.HasField("options") else DEFAULTS
    return Settings(message.tokenizer, message.max_tokens, options)


def batch_from_proto(
    message: pb.TokenizeRequest | pb.TextBatch | pb.CountTokensRequest | pb.AnalyzeTextsRequest,
) -> Batch:
    """Reads texts, or pairs of texts."""
    return Batch(list(message.texts), list(message.pair_texts), message.ByteSize())


async def stream_from_proto(
    messages: AsyncIterator[pb.TokenizeStreamRequest],
) -> tuple[Settings, AsyncIterator[Batch]]:
    """Reads the settings of a stream; its batches come after."""
    first = await anext(messages, None)
    if first is None or first.WhichOneof("message") != "settings":
        raise InvalidArgument("settings", "the first message of a stream must be its settings", reason="STREAM")

    async def batches() -> AsyncIterator[Batch]:
        async for message in messages:
            if message.WhichOneof("message") != "batch":
                raise InvalidArgument("batch", "every message after the first must be a batch", reason="STREAM")
            yield batch_from_proto(message.batch)

    return settings_from_proto(first.settings, "settings."), batches()


def source_from_proto(request: pb.RegisterTokenizerRequest) -> Source:
    """Reads where a tokenizer lies."""
    if request.WhichOneof("source") == "package":
        return Source("package", request.package.package, request.package.folder)
    return Source(request.WhichOneof("source") or "", request.folder)


def encoded_to_proto(encoded: Encoded) -> pb.TokenizeResponse:
    """Makes a TokenizeResponse."""
    response = pb.TokenizeResponse(
        ids=encoded.ids,
        lengths=encoded.lengths,
        original_lengths=encoded.original_lengths,
        tokenizer_digest=encoded.digest,
    )
    for name in _EXTRAS:
        if values := getattr(encoded, name):
            getattr(response, name).extend(values)
    for cut in encoded.cuts:
        response.cuts.add(text_index=cut.text, second=cut.second, tokens=cut.tokens, start=cut.start, end=cut.end)
    return response


_EXTRAS = (
    "text_indices",
    "attention_mask",
    "type_ids",
    "special_tokens_mask",
    "sequence_ids",
    "word_ids",
    "tokens",
    "starts",
    "ends",
)


def part_to_proto(part: StreamPart) -> pb.TokenizeStreamResponse:
    """Makes a TokenizeStreamResponse."""
    return pb.TokenizeStreamResponse(batch=part.batch, last=part.last, rows=encoded_to_proto(part.rows))


def counts_to_proto(encoded: Encoded) -> pb.CountTokensResponse:
    """Makes a CountTokensResponse."""
    return pb.CountTokensResponse(counts=encoded.original_lengths, tokenizer_digest=encoded.digest)


def tokenizer_to_proto(info: TokenizerInfo) -> pb.Tokenizer:
    """Makes a Tokenizer."""
    facts = asdict(info)
    return pb.Tokenizer(
        **{
            **facts,
            "name": f"{_COLLECTION}/{info.digest}",
            "parent": f"{_COLLECTION}/{info.parent}" if info.parent else "",
            "special_tokens": [pb.SpecialToken(token=special.token, id=special.id) for special in info.special_tokens],
        }
    )


def tokenizer_from_proto(message: pb.Tokenizer) -> TokenizerInfo:
    """Reads a Tokenizer."""
    return TokenizerInfo(
        digest=message.digest,
        family=message.family,
        vocabulary_size=message.vocabulary_size,
        max_tokens=message.max_tokens,
        special_tokens=tuple(SpecialToken(special.token, special.id) for special in message.special_tokens),
        ids=tuple(message.ids),
        parent=message.parent.removeprefix(f"{_COLLECTION}/"),
        byte_level=message.byte_level,
        slow=message.slow,
        takes_pairs=message.takes_pairs,
        special_tokens_per_text=message.special_tokens_per_text,
        special_tokens_per_pair=message.special_tokens_per_pair,
        pad_id=message.pad_id if message.HasField("pad_id") else None,
        unknown_id=message.unknown_id if message.HasField("unknown_id") else None,
    )


def page_to_proto(infos: Sequence[TokenizerInfo], next_page_token: str) -> pb.ListTokenizersResponse:
    """Makes a ListTokenizersResponse."""
    return pb.ListTokenizersResponse(
        tokenizers=[tokenizer_to_proto(info) for info in infos], next_page_token=next_page_token
    )


def derivation_to_proto(derivation: Derivation) -> pb.DeriveTokenizerResponse:
    """Makes a DeriveTokenizerResponse."""
    report = pb.DerivationReport(
        added=[
            pb.AddedTerm(term=a.term, id=a.id, parent_ids=a.parent_ids, occurrences=a.occurrences)
            for a in derivation.added
        ],
        known=derivation.known,
        before=_figures_to_proto(derivation.before),
        after=_figures_to_proto(derivation.after),
    )
    return pb.DeriveTokenizerResponse(tokenizer=tokenizer_to_proto(derivation.info), report=report)


def report_to_proto(report: Analysis) -> pb.TextReport:
    """Makes a TextReport."""
    return pb.TextReport(
        texts=report.texts,
        blank_texts=report.blank,
        figures=_figures_to_proto(report.figures),
        lengths=[pb.LengthBin(up_to=b.up_to, texts=b.texts) for b in report.lengths.bins],
        median_length=report.lengths.median,
        p95_length=report.lengths.p95,
        longest=report.lengths.longest,
        max_tokens=report.max_tokens,
        truncation_rate=report.lengths.truncation_rate,
        lost_token_rate=report.lengths.lost_token_rate,
        languages=[pb.Share(code=share.code, share=share.share) for share in report.languages],
        scripts=[pb.Share(code=share.code, share=share.share) for share in report.scripts],
        tokenizer_digest=report.digest,
    )


def _figures_to_proto(figures: analysis.Figures) -> pb.SampleFigures:
    return pb.SampleFigures(
        words=figures.words,
        tokens=figures.tokens,
        tokens_per_word=figures.tokens_per_word,
        unknown_rate=figures.unknown_rate,
    )


def _options_from_proto(message: pb.TokenizeOptions, prefix: str) -> Options:
    padding = None
    if message.HasField("padding"):
        left = _known(SIDES, message.padding.side, f"{prefix}options.padding.side")
        length, multiple = message.padding.length, message.padding.multiple_of or 1
        if length < 0:
            raise InvalidArgument(f"{prefix}options.padding.length", f"{length} is negative", reason="PADDING")
        padding = Padding(length, multiple, left)
    return Options(
        truncation=_known(TRUNCATIONS, message.truncation, f"{prefix}options.truncation"),
        left=_known(SIDES, message.truncation_side, f"{prefix}options.truncation_side"),
        stride=message.windows.stride if message.HasField("windows") else None,
        padding=padding,
        outputs=frozenset(
            _known(OUTPUTS, value, f"{prefix}options.outputs[{i}]") for i, value in enumerate(message.outputs)
        ),
        unit=_known(UNITS, message.offset_unit, f"{prefix}options.offset_unit"),
        omit_special_tokens=message.omit_special_tokens,
    )


def _known(table: Mapping[Any, V], value: int, field: str) -> V:
    if value not in table:
        raise InvalidArgument(field, f"{value} is not one of its values")
    return table[value]
