import math

import pytest
from pydantic import ValidationError

from symbiont.bundle import BundleManifest, LoraMethod


def test_the_manifest_survives_json(draft):
    assert BundleManifest.model_validate_json(draft.manifest.model_dump_json(), strict=True) == draft.manifest


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("surprise",), 1),
        (("method", "dropout"), 0.1),
        (("format_version",), 2),
        (("method", "kind"), "prefix"),
        (("method", "rank"), 0),
        (("method", "alpha"), math.nan),
        (("method", "target_modules"), []),
        (("labels",), ["no"]),
        (("labels",), ["no", "no"]),
        (("base_digest",), "short"),
        (("calibration",), {"temperature": 0.0}),
        (("metrics",), {"accuracy": math.inf}),
        (("golden", "logits"), []),
        (("golden", "logits"), [[1.0]]),
        (("golden", "input_ids"), [[]]),
        (("profile",), {"labels": [1], "scores": [0] * 9 + [1]}),
        (("profile",), {"labels": [1, 1], "scores": [0] * 9 + [1]}),
        (("profile",), {"labels": [1, 0], "scores": [1]}),
        (("profile",), {"labels": [2, -1], "scores": [0] * 9 + [1]}),
    ],
)
def test_what_a_manifest_cannot_say_is_refused(draft, path, value):
    target = draft.fields
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(ValidationError):
        BundleManifest.model_validate(draft.fields)


def test_a_profile_is_of_each_label(draft):
    labels = [number for number, _ in enumerate(draft.fields["labels"])]
    draft.fields["profile"] = {"labels": labels, "scores": [0] * 9 + [sum(labels)]}
    manifest = BundleManifest.model_validate(draft.fields)
    assert manifest.profile.labels == tuple(labels)


def test_scaling_follows_peft():
    method = LoraMethod(rank=16, alpha=8, target_modules=("query",))
    assert method.scaling == 0.5
    assert method.model_copy(update={"rslora": True}).scaling == 2.0


def test_targets_are_matched_by_whole_names():
    method = LoraMethod(rank=1, alpha=1, target_modules=("query", "output.dense"))
    assert method.targets("encoder.layer.0.attention.self.query")
    assert method.targets("encoder.layer.0.output.dense")
    assert not method.targets("encoder.layer.0.intermediate.dense")
    assert not method.targets("encoder.subquery")
