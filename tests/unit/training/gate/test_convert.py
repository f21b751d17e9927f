"""Settings as messages and back."""

import pytest

from symbiont.api.training.v1 import dataset_pb2 as pb
from symbiont.training.gate import convert
from symbiont.training.gate.findings import Finding
from symbiont.training.gate.lineage import Recorded
from symbiont.training.gate.pii.kinds import DEFAULT_KINDS, Kind
from symbiont.training.gate.results import Suggestion
from symbiont.training.gate.settings import Sampling, Strategy, Transform, UnicodeForm

TRANSFORMS = [
    pb.Transform(clean=pb.CleanTransform(unicode_form=pb.UNICODE_FORM_NONE, fold_width=False, languages=["zh", "und"])),
    pb.Transform(deduplicate=pb.DeduplicateTransform(near_threshold=0, against="datasets/test")),
    pb.Transform(anonymize=pb.AnonymizeTransform(kinds=[pb.PII_KIND_PHONE], tokens=pb.TokenMode(key="main"))),
    pb.Transform(drop_suspects=pb.DropSuspectsTransform(max_fraction=0.1, seed=4)),
    pb.Transform(balance=pb.BalanceTransform(sampling=pb.SAMPLING_MODE_OVER, max_ratio=2)),
]


def test_every_transform_is_read_and_shown_again() -> None:
    made = convert.prepare_from_proto(pb.PrepareDatasetRequest(transforms=TRANSFORMS)).transforms
    assert made[0].clean is not None
    assert (made[0].clean.unicode_form, made[0].clean.fold_width) == (UnicodeForm.NONE, False)
    assert made[1].deduplicate is not None
    assert made[1].deduplicate.near_threshold == 0
    assert made[2].anonymize is not None
    assert (made[2].anonymize.kinds, made[2].anonymize.key, made[2].anonymize.mask) == ((Kind.PHONE,), "main", None)
    assert made[4].balance is not None
    assert made[4].balance.sampling is Sampling.OVER
    for transform, message in zip(made, TRANSFORMS, strict=True):
        settings = transform.settings.model_dump(mode="json", exclude_none=True)
        step = convert.step_to_proto(Recorded(transform.kind, settings, 3, 2, 1, (Finding("A", 1, (0,)),)))
        shown = getattr(step, transform.kind)
        merged = type(shown)()
        merged.MergeFrom(shown)
        merged.MergeFrom(getattr(message, transform.kind)) if transform.kind == "drop_suspects" else None
        assert merged == shown
        assert Transform.model_validate({transform.kind: convert.values_of(shown)}) == transform


def test_an_empty_mode_is_a_mask_of_what_leads_to_a_person() -> None:
    request = pb.PrepareDatasetRequest(transforms=[pb.Transform(anonymize=pb.AnonymizeTransform())])
    settings = convert.prepare_from_proto(request).transforms[0].anonymize
    assert settings is not None
    assert (settings.kinds, settings.mask is not None) == (DEFAULT_KINDS, True)


def test_suggestions_go_there_and_back() -> None:
    suggestions = [Suggestion(3, Strategy.DIVERSE, "a", 0.5), Suggestion(1, Strategy.UNCERTAIN)]
    assert convert.suggestions_from_proto(convert.suggestions_to_proto(suggestions).suggestions) == suggestions


@pytest.mark.parametrize("enum", [Kind, Strategy, UnicodeForm, Sampling])
def test_the_proto_has_every_value(enum: type) -> None:
    names = {
        Kind: (pb.PiiKind, "PII_KIND_"),
        Strategy: (pb.SuggestionStrategy, "SUGGESTION_STRATEGY_"),
        UnicodeForm: (pb.UnicodeForm, "UNICODE_FORM_"),
        Sampling: (pb.SamplingMode, "SAMPLING_MODE_"),
    }
    message, prefix = names[enum]
    assert {f"{prefix}{value}" for value in enum} | {f"{prefix}UNSPECIFIED"} == set(message.keys())  # type: ignore[attr-defined]
