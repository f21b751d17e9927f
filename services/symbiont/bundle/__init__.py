"""The bundle: what one customer adds to a shared base model, as files that are verified before they are used.

It needs numpy and safetensors, not torch, so that a service that only reads manifests stays small.
"""

from symbiont.bundle.fields import BusinessField, CategoryField, DateField, FlagField, NumberField
from symbiont.bundle.heads import (
    ClassificationHead,
    EmbeddingHead,
    EntityHead,
    Head,
    MultiLabelHead,
    OwnModule,
    Pooling,
    ScoreHead,
    SpanHead,
    Task,
)
from symbiont.bundle.manifest import (
    AdaLoraMethod,
    BitFitMethod,
    BundleManifest,
    Calibration,
    FileEntry,
    Golden,
    HoulsbyMethod,
    Int8,
    Lineage,
    LoraMethod,
    Method,
    NoMethod,
    PrefixMethod,
)
from symbiont.bundle.peft import ImportedAdapter, export_peft, import_peft
from symbiont.bundle.profile import SCORE_BINS, Profile, score_bin
from symbiont.bundle.store import Bundle, load_bundle, read_manifest, write_bundle

__all__ = [
    "SCORE_BINS",
    "AdaLoraMethod",
    "BitFitMethod",
    "Bundle",
    "BundleManifest",
    "BusinessField",
    "Calibration",
    "CategoryField",
    "ClassificationHead",
    "DateField",
    "EmbeddingHead",
    "EntityHead",
    "FileEntry",
    "FlagField",
    "Golden",
    "Head",
    "HoulsbyMethod",
    "ImportedAdapter",
    "Int8",
    "Lineage",
    "LoraMethod",
    "Method",
    "MultiLabelHead",
    "NoMethod",
    "NumberField",
    "OwnModule",
    "Pooling",
    "PrefixMethod",
    "Profile",
    "ScoreHead",
    "SpanHead",
    "Task",
    "export_peft",
    "import_peft",
    "load_bundle",
    "read_manifest",
    "score_bin",
    "write_bundle",
]
