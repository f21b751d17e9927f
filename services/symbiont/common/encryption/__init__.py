"""Encryption at rest: a master key wraps a key of each tenant, that one wraps a random key of each file.

The master key stays where it is kept (`master.py`): in a file, or in Vault. What it has wrapped is the keyring, which
lies beside the artifacts (`keyring.py`), so that whoever reads these finds it; destroying a tenant's keys there leaves
nothing that could read what is the tenant's. Files are ciphertext in chunks (`files.py`). Not to be mixed up with
`common/sealing.py`, which makes pseudonyms of values inside texts.
"""

from symbiont.common.encryption.files import SealedReader, SealedWriter
from symbiont.common.encryption.keyring import Keyring, Notes, TenantKeys
from symbiont.common.encryption.seals import ENCRYPTION_VARIABLE, MASTER_KEY_VARIABLE, PLAIN, Seals, open_seals
from symbiont.common.encryption.spool import Spool
from symbiont.common.encryption.tenants import tenant_of

__all__ = [
    "ENCRYPTION_VARIABLE",
    "MASTER_KEY_VARIABLE",
    "PLAIN",
    "Keyring",
    "Notes",
    "SealedReader",
    "SealedWriter",
    "Seals",
    "Spool",
    "TenantKeys",
    "open_seals",
    "tenant_of",
]
