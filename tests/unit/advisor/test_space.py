"""Search spaces out of texts, and the specs within them."""

import pytest

from symbiont.advisor.space import Choices, Range, SpaceError, applied, corners, known, parse_space, takes
from symbiont.client import training_spec

SPEC = training_spec(base_model="tiny", dataset="rows", model="mood")
CLASSES = training_spec(base_model="tiny", dataset="rows", model="mood", head="classification", method="houlsby")


def test_a_space_is_typed() -> None:
    space = parse_space(
        ["learning-rate=1e-5..1e-3:log", "epochs=2..6", "warmup_fraction=0..0.2:0.05", "rank=4,8,16"], SPEC
    )
    assert space == [
        Range("learning_rate", 1e-5, 1e-3, whole=False, log=True),
        Range("epochs", 2, 6, whole=True),
        Range("warmup_fraction", 0, 0.2, whole=False, step=0.05),
        Choices("rank", (4, 8, 16)),
    ]
    assert parse_space(["rank_stabilized=true,false"], SPEC) == [Choices("rank_stabilized", (True, False))]


def test_what_may_vary_follows_from_methods_and_head() -> None:
    assert {"rank", "alpha", "dropout", "epochs", "method"} <= known(SPEC).keys()
    assert not {"size", "label_smoothing", "target_modules", "patience", "selection_metric"} & known(SPEC).keys()
    assert {"size", "label_smoothing", "focal_gamma"} <= known(CLASSES).keys()
    assert "rank" not in known(CLASSES)
    # Whatever the order in which they are written.
    space = parse_space(["size=8..64:8", "rank=4,8", "method=houlsby,lora"], SPEC)
    assert [one.name for one in space] == ["method", "size", "rank"]
    assert takes(SPEC, "lora", "rank")
    assert not takes(SPEC, "lora", "size")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learning_rate", "learning_rate: write learning_rate=LOW..HIGH"),
        ("learning_rate=", "write learning_rate=LOW..HIGH"),
        ("learning_rat=1..2", "there is no such setting here; there are accumulation_steps, alpha"),
        ("size=8,16", "there is no such setting here"),
        ("learning_rate=1e-3..1e-5", "1e-05 is not above 0.001: write the lower end first"),
        ("learning_rate=0..1:log", "a log scale begins above 0, not at 0"),
        ("learning_rate=a..b", "'a' is no number; a range is LOW..HIGH"),
        ("learning_rate=0.1..nan", "'nan' is not finite"),
        ("learning_rate=0.1..inf", "'inf' is not finite"),
        ("epochs=1.5..3", "'1.5' is no whole number"),
        ("epochs=2..6:0", "a step is above 0 and at most 4, not 0"),
        ("epochs=2..6:3", "steps of 3 from 2 do not come to 6"),
        ("epochs=2..6:linear", "'linear' is no whole number"),
        ("rank=4", "give at least two values, each once"),
        ("rank=4,4", "give at least two values, each once"),
        ("rank_stabilized=yes,no", "'yes' is neither true nor false"),
        ("rank_stabilized=true..false", "it has no order: list its values"),
        ("method=lora,lore", "there is no method 'lore': head-only"),
    ],
)
def test_an_error_names_the_setting_and_the_remedy(text: str, said: str) -> None:
    with pytest.raises(SpaceError) as caught:
        parse_space([text], SPEC)
    assert str(caught.value).startswith(f"--search {text}")
    assert said in str(caught.value)


def test_a_space_has_each_setting_once_and_at_least_one() -> None:
    with pytest.raises(SpaceError, match="rank is given twice"):
        parse_space(["rank=4,8", "rank=2,3"], SPEC)
    with pytest.raises(SpaceError, match="say what may vary"):
        parse_space([], SPEC)


def test_values_are_set_where_they_belong() -> None:
    made = applied(CLASSES, {"learning_rate": 0.01, "size": 16, "label_smoothing": 0.1})
    assert (made.hyperparameters.learning_rate, made.houlsby.size) == (0.01, 16)
    assert made.classification.label_smoothing == 0.1
    assert not CLASSES.hyperparameters.HasField("learning_rate")
    other = applied(CLASSES, {"rank": 4, "method": "lora"})
    assert (other.WhichOneof("method"), other.lora.rank) == ("lora", 4)
    # What is the default is said.
    assert applied(SPEC, {"epochs": 2}).WhichOneof("method") == "lora"


def test_corners_have_every_end() -> None:
    space = parse_space(["learning_rate=1e-5..1e-3:log", "rank=4,8,16", "method=lora,full"], SPEC)
    made = [
        (one.WhichOneof("method"), one.lora.rank, one.hyperparameters.learning_rate) for one in corners(SPEC, space)
    ]
    assert made == [
        ("lora", 4, 1e-5),
        ("lora", 8, 1e-3),
        ("lora", 16, 1e-3),
        ("full", 0, 1e-5),
        ("full", 0, 1e-3),
    ]
    assert len(list(corners(SPEC, parse_space(["method=head-only,full"], SPEC)))) == 2
