"""The keyring beside the artifacts of a root, for whoever looks after keys and not after artifacts."""

from pathlib import Path

from symbiont.common.artifacts.layout import KEYS
from symbiont.common.artifacts.roots import parse_root
from symbiont.common.encryption import Keyring, Notes
from symbiont.common.encryption.master import open_master
from symbiont.common.encryption.notes import FolderNotes


def open_keyring(root: Path | str, master_key: str) -> Keyring:
    """Returns the keyring of an artifact store; nothing is asked before it is used.

    Raises:
        InvalidArgument: it is no master key.
        ValueError: a URL that names no place in an object store.
        FailedPrecondition: what talks to either is not installed.
    """
    return Keyring(notes_at(root), open_master(master_key))


def notes_at(root: Path | str) -> Notes:
    """Returns where the keyring of an artifact store lies; errors as of `open_keyring`."""
    parsed = parse_root(root)
    if isinstance(parsed, Path):
        return FolderNotes(parsed.absolute() / KEYS)
    from symbiont.common.artifacts.objects import ObjectNotes
    from symbiont.common.artifacts.remote import open_objects

    return ObjectNotes(open_objects(parsed), KEYS)
