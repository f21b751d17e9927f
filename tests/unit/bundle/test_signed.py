"""Bundles and what is imported as one: without a signature nothing of them is read."""

import pytest

from support.bundles import random_bundle, tiny_base
from symbiont.bundle import BundleManifest, Golden, export_peft, import_peft, load_bundle, read_manifest, write_bundle
from symbiont.common.artifacts import ArtifactStore, SigningKey, Trust
from symbiont.common.errors import IntegrityError


@pytest.fixture
def key(tmp_path) -> SigningKey:
    return SigningKey.make(tmp_path / "key.pem")


@pytest.fixture
def trusting(store, key) -> ArtifactStore:
    return ArtifactStore(store.root, trust=Trust.parse(key.line(), required=True))


def test_a_bundle_is_loaded_once_it_is_signed(store, draft, trusting, key):
    digest = draft.write(store)
    for read in (read_manifest, load_bundle):
        with pytest.raises(IntegrityError, match="nobody who is trusted has signed it"):
            read(trusting, digest)
    store.sign(digest, key)
    assert load_bundle(trusting, digest).manifest == read_manifest(trusting, digest)


def test_what_comes_from_a_peft_folder_needs_a_signature_too(store, trusting, key, tmp_path):
    base = tiny_base(store)
    digest, _ = random_bundle(store, base)
    export_peft(store, digest, tmp_path / "peft")
    imported, was = import_peft(tmp_path / "peft"), load_bundle(store, digest)
    manifest: BundleManifest = was.manifest.model_copy(
        update={"method": imported.method, "golden": Golden(input_ids=((1,),), logits=((0.0, 0.0, 0.0),))}
    )
    made = write_bundle(store, manifest, imported.adapter, was.head)
    assert made != digest
    with pytest.raises(IntegrityError, match="sign it with `symbiont bundles sign`"):
        load_bundle(trusting, made)
    store.sign(made, key)
    assert load_bundle(trusting, made).adapter.keys() == was.adapter.keys()
