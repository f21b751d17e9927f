"""Content-addressed folders: base models, tokenizers, datasets, bundles and checkpoints are stored this one way.

An artifact is a folder `<root>/<kind>/<digest>/` whose `manifest.json` lists the SHA-256 and size of every other file.
The digest of the artifact is the SHA-256 of that manifest's bytes, so one hex string pins every byte of it.

An artifact may have ids that people can say: `<root>/<kind>.ids/<id>` is a file that holds the digest. An id is given
once, so what it stands for never changes.

Where encryption is on, an artifact is ciphertext for its tenant (`common/encryption`), and so is its manifest; digests
are of what is in clear. What anybody can have, as a base from a package, is stored plain.

The root is a folder, or a place in an object store (`s3://bucket/prefix`) with the same keys below it. What only the
latter needs is imported when one is opened.
"""

from symbiont.common.artifacts.handing import hand_over, take_over
from symbiont.common.artifacts.keyrings import open_keyring
from symbiont.common.artifacts.layout import KEYS, MANIFEST, canonical_json, file_digest, is_file_name
from symbiont.common.artifacts.local import Content
from symbiont.common.artifacts.roots import (
    BYTES_VARIABLE,
    DEFAULT_BYTES,
    FOLDER_VARIABLE,
    absolute_root,
    is_url,
    parse_root,
)
from symbiont.common.artifacts.signatures import SigningKey, Trust, trust_of_environment
from symbiont.common.artifacts.store import ArtifactStore

__all__ = [
    "BYTES_VARIABLE",
    "DEFAULT_BYTES",
    "FOLDER_VARIABLE",
    "KEYS",
    "MANIFEST",
    "ArtifactStore",
    "Content",
    "SigningKey",
    "Trust",
    "absolute_root",
    "canonical_json",
    "file_digest",
    "hand_over",
    "is_file_name",
    "is_url",
    "open_keyring",
    "parse_root",
    "take_over",
    "trust_of_environment",
]
