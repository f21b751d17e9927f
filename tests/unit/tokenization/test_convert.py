"""Messages keep what the domain says, and the other way round."""

import pytest

from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.common.errors import InvalidArgument
from symbiont.common.offsets import OffsetUnit
from symbiont.tokenization import convert
from symbiont.tokenization.types import (
    DEFAULTS,
    Batch,
    Cut,
    Encoded,
    Options,
    Output,
    Padding,
    Settings,
    SpecialToken,
    StreamPart,
    TokenizerInfo,
    Truncation,
)

INFO = TokenizerInfo(
    digest="d" * 64,
    family="WordPiece",
    vocabulary_size=30522,
    max_tokens=512,
    special_tokens=(SpecialToken("[CLS]", 101), SpecialToken("[SEP]", 102)),
    ids=("bank-terms",),
    parent="e" * 64,
    byte_level=True,
    slow=True,
    takes_pairs=True,
    special_tokens_per_text=2,
    special_tokens_per_pair=3,
    pad_id=0,
    unknown_id=None,
)


def test_a_tokenizer_survives_the_round_trip() -> None:
    message = pb.Tokenizer.FromString(convert.tokenizer_to_proto(INFO).SerializeToString())
    assert message.name == f"tokenizers/{INFO.digest}"
    assert message.parent == f"tokenizers/{INFO.parent}"
    assert convert.tokenizer_from_proto(message) == INFO


def test_a_plain_call_is_read() -> None:
    request = pb.TokenizeRequest(tokenizer="tokenizers/x", texts=["a", "好"], max_tokens=7)
    assert convert.settings_from_proto(request) == Settings("tokenizers/x", 7, DEFAULTS)
    assert convert.batch_from_proto(request) == Batch(["a", "好"], [], request.ByteSize())


def test_every_option_is_read() -> None:
    request = pb.TokenizeRequest(
        tokenizer="tokenizers/x",
        options=pb.TokenizeOptions(
            truncation=pb.TRUNCATION_ONLY_SECOND,
            truncation_side=pb.SIDE_LEFT,
            windows=pb.Windows(stride=5),
            padding=pb.Padding(length=64, multiple_of=8, side=pb.SIDE_LEFT),
            outputs=[value for value in pb.Output.values() if value],
            offset_unit=pb.OFFSET_UNIT_UTF16_UNIT,
            omit_special_tokens=True,
        ),
    )
    assert convert.settings_from_proto(request).options == Options(
        truncation=Truncation.ONLY_SECOND,
        left=True,
        stride=5,
        padding=Padding(64, 8, left=True),
        outputs=frozenset(Output),
        unit=OffsetUnit.UTF16_UNIT,
        omit_special_tokens=True,
    )


def test_defaults_are_the_same_whether_options_are_sent_or_not() -> None:
    sent = pb.TokenizeRequest(tokenizer="tokenizers/x", options=pb.TokenizeOptions())
    assert convert.settings_from_proto(sent).options == DEFAULTS
    padded = pb.TokenizeRequest(options=pb.TokenizeOptions(padding=pb.Padding(), windows=pb.Windows()))
    assert convert.settings_from_proto(padded).options == Options(stride=0, padding=Padding())


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (pb.TokenizeOptions(truncation=9), "options.truncation"),  # type: ignore[arg-type]
        (pb.TokenizeOptions(truncation_side=9), "options.truncation_side"),  # type: ignore[arg-type]
        (pb.TokenizeOptions(padding=pb.Padding(side=9)), "options.padding.side"),  # type: ignore[arg-type]
        (pb.TokenizeOptions(padding=pb.Padding(length=-1)), "options.padding.length"),
        (pb.TokenizeOptions(outputs=[1, 0]), "options.outputs[1]"),  # type: ignore[list-item]
        (pb.TokenizeOptions(offset_unit=9), "options.offset_unit"),  # type: ignore[arg-type]
    ],
)
def test_an_unknown_value_is_refused_by_its_field(options: pb.TokenizeOptions, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        convert.settings_from_proto(pb.TokenizeRequest(options=options))
    assert caught.value.field == field
    with pytest.raises(InvalidArgument) as caught:
        convert.settings_from_proto(pb.StreamSettings(options=options), "settings.")
    assert caught.value.field == f"settings.{field}"


def test_arrays_travel_packed() -> None:
    encoded = Encoded("d" * 64, [1, 2, 3], [2, 1], [5, 1], word_ids=[0, -1, 0], tokens=["a", "b", "c"])
    encoded.cuts = [Cut(1, True, 3, 4, 9)]
    message = convert.encoded_to_proto(encoded)
    assert (list(message.ids), list(message.lengths), list(message.original_lengths)) == ([1, 2, 3], [2, 1], [5, 1])
    assert list(message.word_ids) == [0, -1, 0]
    assert list(message.tokens) == ["a", "b", "c"]
    assert message.cuts[0] == pb.Cut(text_index=1, second=True, tokens=3, start=4, end=9)
    assert message.tokenizer_digest == "d" * 64
    many = convert.encoded_to_proto(Encoded("", [1] * 1000))
    assert many.ByteSize() < 1010


def test_parts_and_pages() -> None:
    part = convert.part_to_proto(StreamPart(3, True, Encoded("d" * 64, [7], [1])))
    assert (part.batch, part.last, list(part.rows.ids)) == (3, True, [7])
    page = convert.page_to_proto([INFO], "next")
    assert [convert.tokenizer_from_proto(m) for m in page.tokenizers] == [INFO]
    assert page.next_page_token == "next"
