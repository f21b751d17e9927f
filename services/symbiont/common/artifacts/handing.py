"""Texts that one process leaves in a file, or a variable, for another that opens the same artifact store."""

from symbiont.common.artifacts.store import ArtifactStore
from symbiont.common.encryption.seals import TEXT_MARK


def hand_over(artifacts: ArtifactStore, text: str, tenant: str) -> str:
    """Returns a text as it is to lie there: encrypted for a tenant, after the root whose keyring opens it."""
    if not artifacts.seals.on:
        return text
    return f"{artifacts.root}\n{artifacts.seals.seal(text.encode(), tenant)}"


def take_over(left: str) -> str:
    """Returns the text; errors as of `Seals.unseal`."""
    root, _, sealed = left.partition("\n")
    return ArtifactStore(root).seals.unseal(sealed).decode() if sealed.startswith(TEXT_MARK) else left
