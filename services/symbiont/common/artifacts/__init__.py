"""Content-addressed folders: base models, tokenizers, datasets, bundles and checkpoints are stored this one way.

An artifact is a folder `<root>/<kind>/<digest>/` whose `manifest.json` lists the SHA-256 and size of every other file.
The digest of the artifact is the SHA-256 of that manifest's bytes, so one hex string pins every byte of it.

An artifact may have ids that people can say: `<root>/<kind>.ids/<id>` is a file that holds the digest. An id is given
once, so what it stands for never changes.

The root is a folder, or a place in an object store (`s3://bucket/prefix`) with the same keys below it. What only the
latter needs is imported when one is opened.
"""

from symbiont.common.artifacts.layout import MANIFEST, canonical_json, file_digest
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
    "MANIFEST",
    "ArtifactStore",
    "SigningKey",
    "Trust",
    "absolute_root",
    "canonical_json",
    "file_digest",
    "is_url",
    "parse_root",
    "trust_of_environment",
]
