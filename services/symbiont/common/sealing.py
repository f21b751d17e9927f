"""Values as tokens that only whoever has the key can read, and as names that nobody can read at all.

Both are the same for the same value and key, so that what is said of one person stays together. A key is a file of at
least 32 bytes; it is never stored with what was made with it, only its `key_id`, by which people find it again.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from symbiont.common.errors import FailedPrecondition, IntegrityError, InvalidArgument

LEAST_KEY_BYTES = 32
# {KIND:token}, in letters that survive most of what is done to a text, its case aside.
_TOKEN = re.compile(r"\{([A-Z_]{2,20}):([A-Za-z0-9_\-]{22,4096})\}")
_NAME_CHARACTERS = 12


class Sealer:
    """Makes tokens and names with one key."""

    def __init__(self, key: bytes) -> None:
        """Raises InvalidArgument where the key is too short."""
        if len(key) < LEAST_KEY_BYTES:
            raise InvalidArgument("key", f"it has {len(key)} bytes, at least {LEAST_KEY_BYTES} are needed")
        # A key for each purpose: none tells of another.
        self._naming, self._sealing = (_derive(key, purpose) for purpose in (b"names", b"tokens"))
        self.key_id = _derive(key, b"id").hex()[:12]

    def name(self, kind: str, value: str) -> str:
        """Returns the name of a value: `{PERSON-k3v9…}`. Who has the key can only try values."""
        digest = hmac.new(self._naming, f"{kind}\0{value}".encode(), hashlib.sha256).digest()
        letters = base64.b32encode(digest).decode().lower()[:_NAME_CHARACTERS]
        return f"{{{kind}-{letters}}}"

    def seal(self, kind: str, value: str) -> str:
        """Returns a token of a value: `{PERSON:…}`."""
        sealed = self._cipher().encrypt(value.encode(), [kind.encode()])
        return f"{{{kind}:{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}}}"

    def unseal(self, text: str) -> tuple[str, int]:
        """Returns a text with values in the place of its tokens, and how many these were.

        Raises:
            IntegrityError: a token was made with another key, or changed.
        """
        return _TOKEN.subn(lambda match: self._opened(match[1], match[2]), text)

    def _opened(self, kind: str, token: str) -> str:
        from cryptography.exceptions import InvalidTag

        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            return str(self._cipher().decrypt(sealed, [kind.encode()]).decode())
        except (InvalidTag, ValueError) as exc:
            raise IntegrityError(f"a token of {kind} was not made with this key, or was changed") from exc

    def _cipher(self) -> Any:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESSIV
        except ImportError as exc:
            problem = "reversible tokens need the package cryptography: pip install 'symbiont[pii]'"
            raise FailedPrecondition(problem, reason="PII_EXTRA_MISSING") from exc
        # Its nonce is the value itself (RFC 5297): equal values give equal tokens, and nothing else shows.
        return AESSIV(self._sealing)


def open_sealer(path: Path) -> Sealer:
    """Reads a key from a file, white space at its ends aside.

    Raises:
        InvalidArgument: there is no such file, or too little in it.
    """
    try:
        key = path.read_bytes().strip()
    except OSError as exc:
        raise InvalidArgument("key", f"its file cannot be read: {exc.strerror}") from exc
    return Sealer(key)


def masked(kind: str, _: str) -> str:
    """Returns what stands for any value of a kind: `{PERSON}`."""
    return f"{{{kind}}}"


# (kind, value) -> what stands in its place.
Replace = Callable[[str, str], str]


def _derive(key: bytes, purpose: bytes) -> bytes:
    return hmac.new(key, b"symbiont/sealing/" + purpose, hashlib.sha512).digest()
