"""Bases that not everybody may use: what is kept of their terms, and what is refused for them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from support.registry import tiny_spec, upload
from symbiont.api.training.v1 import base_model_pb2 as pb
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument, NotFound, PermissionDenied
from symbiont.common.licenses import LicenseTerms
from symbiont.training import types
from symbiont.training.convert_bases import base_changes_from_proto, base_to_proto, terms_from_proto, terms_to_proto
from symbiont.training.jobs import Jobs
from symbiont.training.notifier import Notifier
from symbiont.training.store import Store

TERMS = LicenseTerms(("bank", "shop"), datetime(2199, 1, 2, tzinfo=UTC), noncommercial=True, uri="https://example.org")


def test_terms_are_kept_and_changed(registry: Store) -> None:
    before = registry.base("tiny")
    assert before.terms == LicenseTerms()
    registry.set_quantized("tiny", "9" * 64)
    changed = registry.update_base("tiny", {"terms": TERMS, "provider": "acme"})
    assert changed == registry.base("tiny") == registry.bases()[0]
    assert changed == replace(before, terms=TERMS, provider="acme", quantized_digest="9" * 64)
    # To register the same content again changes nothing.
    assert registry.add_base(before) == changed
    with pytest.raises(NotFound, match=r"^base_model\.name: bases/nothing "):
        registry.update_base("nothing", {"terms": TERMS})


def test_what_was_derived_has_the_terms_of_where_it_came_from(registry: Store) -> None:
    tiny = registry.base("tiny")
    child = replace(tiny, id="child", digest="1" * 64, parent="tiny", parent_digest=tiny.digest)
    registry.add_base(child)
    registry.add_base(replace(child, id="grandchild", digest="2" * 64, parent="child"))
    registry.update_base("tiny", {"terms": TERMS, "license": "MIT", "provider": "acme"})
    for base in (registry.base("child"), registry.base("grandchild"), *registry.bases()):
        assert (base.terms, base.license, base.provider) == (TERMS, "MIT", "acme")
    with pytest.raises(InvalidArgument, match="derived of bases/child, whose terms it has"):
        registry.update_base("grandchild", {"terms": LicenseTerms()})


@pytest.mark.parametrize("terms", [LicenseTerms(), TERMS])
def test_conversion(registry: Store, terms: LicenseTerms) -> None:
    message = base_to_proto(replace(registry.base("tiny"), terms=terms))
    assert message.HasField("terms") == (terms != LicenseTerms())
    assert terms_from_proto(message.terms) == terms


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (
            pb.UpdateBaseModelRequest(base_model=pb.BaseModel(provider="x" * 201), update_mask={"paths": ["provider"]}),
            r"base_model\.provider",
        ),
        (
            pb.UpdateBaseModelRequest(base_model=pb.BaseModel(license="a\nb"), update_mask={"paths": ["license"]}),
            r"base_model\.license",
        ),
        (pb.UpdateBaseModelRequest(), "update_mask"),
        (pb.UpdateBaseModelRequest(update_mask={"paths": ["digest", "terms"]}), "update_mask"),
        (
            pb.UpdateBaseModelRequest(
                base_model=pb.BaseModel(terms=pb.LicenseTerms(expire_time={"seconds": 1 << 60})),
                update_mask={"paths": ["terms"]},
            ),
            r"base_model\.terms\.expire_time",
        ),
    ],
)
def test_changes_that_are_none(request_: pb.UpdateBaseModelRequest, field: str) -> None:
    with pytest.raises(InvalidArgument, match=field):
        base_changes_from_proto(request_)


def test_only_what_the_mask_names_changes() -> None:
    base = pb.BaseModel(provider="acme", license="MIT", terms=terms_to_proto(TERMS))
    changes = base_changes_from_proto(pb.UpdateBaseModelRequest(base_model=base, update_mask={"paths": ["license"]}))
    assert changes == {"license": "MIT"}


async def test_no_job_is_taken_for_who_may_not_use_the_base(registry: Store, artifacts: ArtifactStore) -> None:
    jobs = Jobs(registry, artifacts, Notifier())
    registry.add_dataset(upload(artifacts, b"text,label\ngood,yes\nbad,no\n" * 4, "bank~rows"))
    own = tiny_spec(dataset="datasets/bank~rows", model="models/bank~mood")
    registry.update_base("tiny", {"terms": LicenseTerms(tenants=("shop",))})
    named = types.Terms(tenant="bank")
    for spec, terms in ((own, types.Terms()), (tiny_spec(), named)):
        with pytest.raises(
            PermissionDenied, match=r"^training_job\.spec\.base_model: the licence of bases/tiny"
        ) as caught:
            await jobs.create(spec, "", terms)
        assert caught.value.reason == "LICENSE"
    assert registry.jobs(types.JobQuery(), None, 10) == []
    # What is the installation's own, and names no tenant, is the operator's to know.
    assert (await jobs.create(tiny_spec(), "")).id
    registry.update_base("tiny", {"terms": LicenseTerms(expire_time=datetime.now(UTC) - timedelta(seconds=1))})
    with pytest.raises(PermissionDenied, match="ended on"):
        await jobs.create(tiny_spec(), "")
