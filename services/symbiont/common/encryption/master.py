"""The master key, which wraps the keys of tenants: where it is kept, and what it must be able to do."""

from pathlib import Path
from typing import Protocol

from symbiont.common.errors import InvalidArgument

FORMS = "file:PATH, or vault:MOUNT/KEY for a key of Vault's transit engine"


class MasterKey(Protocol):
    """A master key with versions: the newest wraps, all that are left unwrap.

    Methods block, and are called from any thread. All may raise FailedPrecondition where the key cannot be used, and
    Unavailable where its keeper does not answer; the message says what to do.
    """

    def wrap(self, key: bytes, context: bytes) -> str:
        """Returns a key as ciphertext, one line."""

    def unwrap(self, wrapped: str, context: bytes) -> bytes:
        """Returns a key that was wrapped for the same context; IntegrityError where it was not."""

    def rotate(self) -> None:
        """Makes a new version, which wraps from now on."""

    def retire(self) -> None:
        """Destroys every version but the newest: what they have wrapped, and is not wrapped anew, is lost."""


def open_master(text: str) -> MasterKey:
    """Returns the master key that a setting names, without asking for it.

    Raises:
        InvalidArgument: it names none.
        FailedPrecondition: what talks to its keeper is not installed.
    """
    kind, _, rest = text.partition(":")
    if kind == "file" and rest:
        from symbiont.common.encryption.key_file import KeyFile

        return KeyFile(Path(rest))
    mount, _, name = rest.rpartition("/")
    if kind == "vault" and mount and name:
        from symbiont.common.encryption.vault import open_vault

        return open_vault(mount, name)
    raise InvalidArgument("master_key", f"{text!r} is not {FORMS}")
