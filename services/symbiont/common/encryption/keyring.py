"""The keys of tenants, wrapped by the master key, as notes beside the artifacts.

A note `TENANT@VERSION` is a key; `TENANT@shredded` says that all of them were destroyed, and no other is made. Versions
are only ever added: of two processes that make one at the same time, the second takes what the first has made.
"""

import hashlib
import hmac
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, unquote

from symbiont.common.encryption.ciphers import new_key
from symbiont.common.encryption.master import MasterKey
from symbiont.common.errors import FailedPrecondition, IntegrityError, TenantShredded

_SHREDDED = "shredded"
# How long a process goes on to believe which keys there are; a tenant that was shredded is read for so long.
BELIEVED_S = 5.0


class Notes(Protocol):
    """Small files by name, written atomically."""

    def names(self) -> list[str]:
        """Returns the names of all notes, in any order."""

    def read(self, name: str) -> bytes | None:
        """Returns a note; None where there is none of that name."""

    def create(self, name: str, content: bytes) -> bool:
        """Writes a note where there is none of that name, in one atomic step; returns whether it did."""

    def replace(self, name: str, content: bytes) -> None:
        """Writes a note, in the place of the one that has its name."""

    def remove(self, name: str) -> None:
        """Removes a note; one that is not there is no error."""


@dataclass(frozen=True)
class TenantKeys:
    """What the keyring says of a tenant; no version where it was shredded."""

    tenant: str
    versions: tuple[int, ...]
    shredded: bool


class Keyring:
    """Keys by tenant and version; those that were unwrapped stay in memory. May be used from any thread."""

    def __init__(self, notes: Notes, master: MasterKey) -> None:
        self._notes = notes
        self._master = master
        self._lock = threading.Lock()
        self._keys: dict[tuple[str, int], bytes] = {}
        self._known: Mapping[str, TenantKeys] = {}
        self._until = 0.0

    def newest(self, tenant: str) -> tuple[int, bytes]:
        """Returns the version that encrypts, and the key; makes the first one of a tenant that has none.

        Raises:
            TenantShredded: its keys were destroyed.
            FailedPrecondition: the master key cannot be used.
        """
        with self._lock:
            versions = self._of(tenant).versions
            version = max(versions) if versions else self._add(tenant, 1)
            return version, self._unwrapped(tenant, version)

    def key(self, tenant: str, version: int) -> bytes:
        """Returns a key; errors as of `newest`, and FailedPrecondition where there is no such key."""
        with self._lock:
            if version not in self._of(tenant).versions:
                self._until = 0.0
            if version not in self._of(tenant).versions:
                problem = f"the keyring has no version {version} of the key of {_named(tenant)}: put back its file"
                raise FailedPrecondition(problem, reason="KEY_MISSING")
            return self._unwrapped(tenant, version)

    def blind(self, tenant: str) -> str:
        """Returns what digests of a tenant's artifacts begin with, in hex: always the same, known to no one else."""
        self.newest(tenant)
        return hmac.new(self.key(tenant, 1), b"symbiont/digests", hashlib.sha256).hexdigest()

    def tenants(self) -> list[TenantKeys]:
        """Returns what there is of each tenant, by name."""
        with self._lock:
            self._until = 0.0
            self._look()
            return [self._known[tenant] for tenant in sorted(self._known)]

    def rotate(self, tenant: str) -> int:
        """Makes a new key of a tenant, which encrypts from now on; returns its version."""
        with self._lock:
            self._until = 0.0
            return self._add(tenant, max(self._of(tenant).versions, default=0) + 1)

    def rotate_master(self) -> int:
        """Makes a new version of the master key, wraps all keys by it, and retires the others; returns how many keys.

        Broken off anywhere, it is done again: until all are wrapped anew, no version is retired.
        """
        with self._lock:
            self._master.rotate()
            self._until = 0.0
            self._look()
            keys = [(keys.tenant, version) for keys in self._known.values() for version in keys.versions]
            for tenant, version in keys:
                self._notes.replace(_note(tenant, version), self._wrapped(tenant, version))
            self._master.retire()
            return len(keys)

    def shred(self, tenant: str) -> int:
        """Destroys the keys of a tenant; returns how many. Nothing that they have encrypted is ever read again."""
        with self._lock:
            # First: from here on nobody makes another.
            self._notes.create(_note(tenant, _SHREDDED), b"")
            versions = [v for t, v in map(_parsed, self._notes.names()) if t == tenant and v != _SHREDDED]
            for version in versions:
                self._notes.remove(_note(tenant, version))
                self._keys.pop((tenant, int(version)), None)
            self._until = 0.0
            return len(versions)

    def _of(self, tenant: str) -> TenantKeys:
        self._look()
        found = self._known.get(tenant, TenantKeys(tenant, (), shredded=False))
        if found.shredded:
            for known in [key for key in self._keys if key[0] == tenant]:
                del self._keys[known]
            problem = f"the keys of {_named(tenant)} were destroyed: nothing of it can be read or written any more"
            raise TenantShredded(problem)
        return found

    def _look(self) -> None:
        if time.monotonic() < self._until:
            return
        found: dict[str, list[str]] = {}
        for tenant, version in map(_parsed, self._notes.names()):
            found.setdefault(tenant, []).append(version)
        self._known = {tenant: _keys_of(tenant, versions) for tenant, versions in found.items()}
        self._until = time.monotonic() + BELIEVED_S

    def _add(self, tenant: str, version: int) -> int:
        wrapped = self._master.wrap(new_key(), _context(tenant, version)).encode()
        self._notes.create(_note(tenant, version), wrapped)
        self._until = 0.0
        try:
            self._of(tenant)
        except TenantShredded:
            # Shredded at this moment: its key must not stay behind.
            self._notes.remove(_note(tenant, version))
            raise
        return version

    def _unwrapped(self, tenant: str, version: int) -> bytes:
        found = self._keys.get((tenant, version))
        if found is None:
            raw = self._raw(tenant, version)
            try:
                found = self._master.unwrap(raw.decode(), _context(tenant, version))
            except (FailedPrecondition, IntegrityError):
                # Between the two looks it may have been wrapped anew, and the old master key be gone.
                if (again := self._raw(tenant, version)) == raw:
                    raise
                found = self._master.unwrap(again.decode(), _context(tenant, version))
            self._keys[tenant, version] = found
        return found

    def _raw(self, tenant: str, version: int) -> bytes:
        raw = self._notes.read(_note(tenant, version))
        if raw is None:
            raise TenantShredded(f"the keys of {_named(tenant)} are being destroyed")
        return raw

    def _wrapped(self, tenant: str, version: int) -> bytes:
        return self._master.wrap(self._unwrapped(tenant, version), _context(tenant, version)).encode()


def _keys_of(tenant: str, versions: list[str]) -> TenantKeys:
    if _SHREDDED in versions:
        return TenantKeys(tenant, (), shredded=True)
    return TenantKeys(tenant, tuple(sorted(int(version) for version in versions)), shredded=False)


def _note(tenant: str, version: int | str) -> str:
    # A name never leads out of the folder, nor hides in it.
    return f"{quote(tenant, safe='').replace('.', '%2E')}@{version}"


def _parsed(note: str) -> tuple[str, str]:
    tenant, _, version = note.rpartition("@")
    return unquote(tenant), version


def _context(tenant: str, version: int) -> bytes:
    return f"symbiont/tenant/{tenant}/{version}".encode()


def _named(tenant: str) -> str:
    return f"tenant {tenant}" if tenant else "the installation"
