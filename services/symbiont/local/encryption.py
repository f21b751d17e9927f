"""The master key of a home, and what its processes are told of encryption."""

import os

from symbiont.common.artifacts import KEYS, ArtifactStore, is_url, open_keyring
from symbiont.common.encryption import ENCRYPTION_VARIABLE, MASTER_KEY_VARIABLE, Seals
from symbiont.common.encryption.key_file import KeyFile
from symbiont.common.errors import FailedPrecondition
from symbiont.local.home import Home


def master_key_of(home: Home) -> str:
    """Returns the master key that the environment names, else the file of the home."""
    return os.environ.get(MASTER_KEY_VARIABLE, "") or f"file:{home.master_key}"


def open_artifacts(home: Home) -> ArtifactStore:
    """Returns the artifacts of a home, with the keys that its processes have."""
    seals = Seals(open_keyring(home.artifact_root, master_key_of(home)), on=True)
    return ArtifactStore(home.artifact_root, seals=seals)


def encryption_variables(home: Home) -> dict[str, str]:
    """Returns what the processes of a home are told: to encrypt, unless the environment says `off`.

    On the first start it makes the home's master key, where the environment names no other.

    Raises:
        FailedPrecondition: the home has encrypted data, and its master key is gone.
    """
    switch = os.environ.get(ENCRYPTION_VARIABLE, "on")
    if not os.environ.get(MASTER_KEY_VARIABLE) and not home.master_key.exists():
        if not is_url(home.artifact_root) and any(home.artifacts.glob(f"{KEYS}/*")):
            problem = f"{home.artifacts} is encrypted, and its master key {home.master_key} is gone: put the file back"
            raise FailedPrecondition(f"{problem}, or set {MASTER_KEY_VARIABLE}", reason="MASTER_KEY_MISSING")
        if switch == "off":
            return {ENCRYPTION_VARIABLE: switch}
        KeyFile(home.master_key).make()
    return {ENCRYPTION_VARIABLE: switch, MASTER_KEY_VARIABLE: master_key_of(home)}
