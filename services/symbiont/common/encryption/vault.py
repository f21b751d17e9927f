"""A master key that never leaves Vault, or OpenBao: its transit engine wraps and unwraps.

The server and how to log in are what Vault's own tools read: `VAULT_ADDR`, `VAULT_TOKEN` or `~/.vault-token`,
`VAULT_NAMESPACE`, `VAULT_CACERT`. The key is of a type with associated data, as `aes256-gcm96`, which is the default.
"""

import base64
import os
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from symbiont.common.errors import FailedPrecondition, IntegrityError, Unavailable

T = TypeVar("T")


class TransitKey:
    """One key of a transit engine.

    Args:
        client: of hvac.
        mount: path of the engine.
        name: of the key, which exists.
    """

    def __init__(self, client: Any, mount: str, name: str) -> None:
        self._transit = client.secrets.transit
        self._of: dict[str, str] = {"name": name, "mount_point": mount}
        self._place = f"{client.url} key {mount}/{name}"

    def wrap(self, key: bytes, context: bytes) -> str:
        """Returns `vault:v1:…`."""
        answer = self._asked(
            lambda: self._transit.encrypt_data(**self._of, plaintext=_text(key), associated_data=_text(context))
        )
        return str(answer["data"]["ciphertext"])

    def unwrap(self, wrapped: str, context: bytes) -> bytes:
        """Returns a key that some version of this one has wrapped."""
        answer = self._asked(
            lambda: self._transit.decrypt_data(**self._of, ciphertext=wrapped, associated_data=_text(context))
        )
        return base64.b64decode(answer["data"]["plaintext"])

    def rotate(self) -> None:
        """Has Vault make a version."""
        self._asked(lambda: self._transit.rotate_key(**self._of))

    def retire(self) -> None:
        """Has Vault refuse all versions but the newest, and destroy them."""
        newest = int(self._asked(lambda: self._transit.read_key(**self._of))["data"]["latest_version"])
        # One after the other: hvac takes no two that are equal. Vault trims where both are set.
        for least in ("min_decryption_version", "min_encryption_version"):
            self._asked(partial(self._transit.update_key_configuration, **self._of, **{least: newest}))
        self._asked(lambda: self._transit.trim_key(**self._of, min_version=newest))

    def _asked(self, ask: Callable[[], T]) -> T:
        import hvac  # type: ignore[import-untyped]
        import requests

        try:
            return ask()
        except hvac.exceptions.InvalidRequest as exc:
            # Vault says so of ciphertext that was changed, of a version that is retired, and of a context that differs.
            raise IntegrityError(f"{self._place} does not take what was wrapped: {exc}") from exc
        except (hvac.exceptions.Unauthorized, hvac.exceptions.Forbidden, hvac.exceptions.InvalidPath) as exc:
            problem = f"{self._place} may not be used ({exc}): set VAULT_ADDR, VAULT_TOKEN and the key's policy"
            raise FailedPrecondition(problem, reason="MASTER_KEY_REFUSED") from exc
        except (hvac.exceptions.VaultError, requests.RequestException) as exc:
            raise Unavailable(f"{self._place} does not answer ({exc}); try again") from exc


def open_vault(mount: str, name: str) -> TransitKey:
    """Returns a key of the Vault that the environment names, without asking for it.

    Raises:
        FailedPrecondition: hvac is not installed.
    """
    try:
        import hvac
    except ImportError as exc:
        problem = "a master key in Vault needs hvac, which is not installed here: pip install 'symbiont[vault]'"
        raise FailedPrecondition(problem, reason="VAULT_EXTRA_MISSING") from exc
    return TransitKey(hvac.Client(namespace=os.environ.get("VAULT_NAMESPACE")), mount, name)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
