"""AES-256-GCM on what fits into memory: keys that are wrapped, and short texts."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from symbiont.common.errors import IntegrityError

KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16


def new_key() -> bytes:
    """Returns a random key of 32 bytes."""
    return AESGCM.generate_key(8 * KEY_BYTES)


def encrypt(key: bytes, content: bytes, context: bytes) -> bytes:
    """Returns a random nonce and the ciphertext with its tag; only with the same `context` it is opened again.

    Random nonces of 96 bits are safe for 2^32 contents under one key (NIST SP 800-38D, 8.3).
    """
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, context)


def decrypt(key: bytes, sealed: bytes, context: bytes, what: str) -> bytes:
    """Returns what `encrypt` was given; IntegrityError, naming `what`, where anything differs."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
    except (InvalidTag, ValueError) as exc:
        raise IntegrityError(
            f"{what}: it was changed, or stands in the place of another, or the key is another"
        ) from exc
