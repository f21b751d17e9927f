"""A host loads what is signed, and says of the rest why not; neighbours are answered all the same."""

from pathlib import Path

import numpy as np

from support.bundles import random_rows
from symbiont.common.artifacts import ArtifactStore, SigningKey
from symbiont.common.errors import IntegrityError
from symbiont.engine.engine import Engine
from symbiont.engine.row import Row
from symbiont.engine.settings import HostSettings


def test_an_unsigned_bundle_is_refused_beside_a_signed_one(world, tmp_path):
    key = SigningKey.make(tmp_path / "key.pem")
    signed, unsigned = world.bundles[:2]
    world.store.sign(signed, key)
    told = HostSettings(world.store.root, world.base, trusted_keys=key.line(), require_signatures=True)
    told = HostSettings.from_parameters(told.to_parameters())
    engine = Engine(world.runtime, ArtifactStore(world.store.root, trust=told.trust()))
    row = random_rows(1, seed=8)[0]
    good, bad = engine.infer([Row(row, signed), Row(row, unsigned)])
    assert np.isfinite(good).all()
    assert isinstance(bad, IntegrityError)
    assert bad.reason == "UNSIGNED"
    assert unsigned not in engine.resident()


def test_a_host_of_a_release_before_trusts_as_that_did():
    told = HostSettings(Path("/artifacts"), "a" * 64)
    before = {name: value for name, value in told.to_parameters().items() if "sign" not in name and "trust" not in name}
    assert HostSettings.from_parameters(before).trust() is None
