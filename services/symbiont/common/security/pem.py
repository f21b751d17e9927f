"""Private keys as PEM files hold them."""

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def private_key_of(content: bytes) -> PrivateKeyTypes:
    """Reads a key.

    Raises:
        ValueError: it is none, it is encrypted, or of a kind that is not known.
    """
    try:
        return load_pem_private_key(content, None)
    except (TypeError, UnsupportedAlgorithm) as exc:
        raise ValueError(f"the key is encrypted, or of a kind that is not known: {exc}") from exc
    except InternalError as exc:
        # Of some bytes that are no key OpenSSL says nothing better; its words are about a bug, which it is not.
        raise ValueError("this is no key") from exc
