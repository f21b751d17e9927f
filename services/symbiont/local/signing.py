"""The keys of a home: what is made on it is signed, and nothing else is read."""

import os
from collections.abc import Mapping
from pathlib import Path

from symbiont.common.artifacts import ArtifactStore, SigningKey
from symbiont.common.artifacts.signatures import KEYS_VARIABLE, REQUIRE_VARIABLE
from symbiont.local.home import Home

SIGNING_VARIABLE = "SYMBIONT_SIGNING_KEY"
_VARIABLES = (SIGNING_VARIABLE, KEYS_VARIABLE, REQUIRE_VARIABLE)


def key_file(home: Home) -> Path:
    """Returns where the home's private key is."""
    return home.keys / "signing.pem"


def trusted_file(home: Home) -> Path:
    """Returns where the list of trusted keys is."""
    return home.keys / "trusted"


def prepare(home: Home) -> int:
    """Makes the keys of a home that has none, and signs the bundles that lie there; returns how many these were.

    A home of a release without signatures is taken as it is found, once: what is put there later needs a signature. The
    list is written last, so that a start which is broken off begins anew. Nothing is done where the environment says
    whose word counts.
    """
    if _said() or trusted_file(home).exists():
        return 0
    path = key_file(home)
    key = SigningKey.read(path) if path.exists() else SigningKey.make(path)
    artifacts = ArtifactStore(home.artifact_root)
    bundles = artifacts.list("bundles")
    for digest in bundles:
        artifacts.sign(digest, key)
    temporary = trusted_file(home).with_suffix(".new")
    temporary.write_text(f"{key.line()}  # this home\n", encoding="utf-8")
    temporary.replace(trusted_file(home))
    return len(bundles)


def environment(home: Home) -> Mapping[str, str]:
    """Returns the variables by which services sign and trust; none where the environment has its own."""
    if _said():
        return {}
    return {
        SIGNING_VARIABLE: str(key_file(home)),
        KEYS_VARIABLE: str(trusted_file(home)),
        REQUIRE_VARIABLE: "true",
    }


def _said() -> bool:
    return any(os.environ.get(name) for name in _VARIABLES)
