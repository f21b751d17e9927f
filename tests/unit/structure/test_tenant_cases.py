"""Each field by which a tenant may name something is asked with what another one has, or names nothing."""

from support.tenant_cases import INFERENCE, NAMELESS, TRAINING, Case, input_of, named


def test_every_field_that_holds_a_name_has_a_case() -> None:
    cases = {(case.method, case.path) for case in (*TRAINING, *INFERENCE)}
    assert cases & NAMELESS.keys() == set()
    assert sorted(named() - cases - NAMELESS.keys()) == [], "add a case to tests/support/tenant_cases.py"
    assert sorted((cases | NAMELESS.keys()) - named()) == []


def test_a_case_names_what_it_says() -> None:
    case = Case("/symbiont.training.v1.ModelService/GetModel", "name", "models/{model}")
    assert case.request({"model": "mood"}).name == "models/mood"
    assert input_of(case.method).full_name == "symbiont.training.v1.GetModelRequest"
    nested = Case(
        "/symbiont.inference.v1.InferenceService/Predict",
        "instances.query.catalogue",
        "catalogues/{faq}",
        {"instances": [{"query": {"text": "where"}}]},
    )
    (instance,) = nested.request({"faq": "x"}).instances
    assert (instance.query.text, instance.query.catalogue) == ("where", "catalogues/x")
