"""Settings that every service has: from flags, else from `SYMBIONT_*` variables, else the defaults.

Each process has an environment of its own, so the names carry no service: `SYMBIONT_ADDRESS` is the address of
whatever process reads it.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from symbiont.common.artifacts import BYTES_VARIABLE, DEFAULT_BYTES, FOLDER_VARIABLE, Trust, parse_root
from symbiont.common.artifacts.signatures import KEYS_VARIABLE, REQUIRE_VARIABLE, read_keys
from symbiont.common.encryption import ENCRYPTION_VARIABLE, MASTER_KEY_VARIABLE
from symbiont.common.encryption.master import FORMS
from symbiont.common.errors import InvalidArgument
from symbiont.common.exporting import can_export
from symbiont.common.security.files import CA_VARIABLE, CERTIFICATE_VARIABLE, KEY_VARIABLE
from symbiont.common.security.settings import SecuritySettings

PREFIX = "SYMBIONT_"
# A folder, or the URL of a place in an object store, which as a Path would lose a slash.
ArtifactRoot = Annotated[Path | str, BeforeValidator(parse_root)]


class ServiceSettings(SecuritySettings):
    """What a gRPC service needs to run. Built once, in `__main__`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", cli_kebab_case=True)

    address: str = Field("127.0.0.1:0", description="host:port that gRPC listens on; port 0 takes a free one")
    unix_socket: Path | None = Field(None, description="socket file that gRPC listens on too, for callers beside it")
    metrics_address: str = Field("127.0.0.1:0", description="host:port that serves Prometheus metrics")
    artifact_root: ArtifactRoot = Field(
        Path(".symbiont/artifacts"), description="folder of the artifact store, or s3://bucket/prefix"
    )
    artifact_cache: Path | None = Field(
        None, description="folder that keeps near what is read from s3://; by default in the system's cache folder"
    )
    artifact_cache_bytes: int = Field(DEFAULT_BYTES, gt=0, description="about the most that artifact_cache holds")
    encryption: Literal["off", "on"] = Field(
        "off", description="whether what is stored of texts, and learnt from them, is encrypted; needs master_key"
    )
    master_key: str = Field(
        "", description="key that wraps the keys of tenants: file:PATH, or vault:MOUNT/KEY of Vault's transit engine"
    )
    trusted_keys: Path | None = Field(
        None,
        description="file of the public keys whose signatures of bundles count: `symbiont bundles key` makes lines",
    )
    require_signatures: bool = Field(
        False, description="refuse bundles that none of the trusted keys has signed; without it only wrong signatures"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe level that is logged"
    )
    log_format: Literal["json", "console"] = Field("json", description="one JSON object a line, or coloured text")
    tracing_endpoint: str = Field(
        "", description="host:port of a collector of traces, OTLP over gRPC (https://host:port with TLS); empty: none"
    )
    tracing_sample_ratio: float = Field(
        0.01, ge=0, le=1, description="part of the traces that begin here which are kept; callers decide of theirs"
    )
    audit_root: Path | None = Field(
        None,
        description="folder of the audit log: who did what, in lines that show each change of them; by default none",
    )
    audit_reads: bool = Field(False, description="whether the audit log has calls that only read, too")
    drain_seconds: float = Field(10.0, ge=0, description="time for calls in flight to end after SIGTERM")
    max_connection_age_seconds: float = Field(
        0.0,
        ge=0,
        description="age at which a connection takes no more calls, so that its caller looks again and finds new "
        "servers; 0: never",
    )
    max_message_bytes: int = Field(16 << 20, gt=0, description="largest message taken, in bytes")
    idle_stream_seconds: float = Field(
        600.0, gt=0, description="longest that a stream which the caller sends may be silent while more is waited for"
    )
    max_concurrent_calls: int = Field(4096, gt=0, description="calls served at a time; more get RESOURCE_EXHAUSTED")

    @field_validator("tracing_endpoint")
    @classmethod
    def _can_be_exported(cls, endpoint: str) -> str:
        if endpoint and not can_export():
            raise ValueError("traces need packages that are not installed: pip install 'symbiont[tracing]'")
        return endpoint

    @model_validator(mode="after")
    def _has_a_master_key(self) -> Self:
        if self.encryption == "on" and not self.master_key:
            raise ValueError(f"encryption needs master_key: {FORMS}")
        return self

    @model_validator(mode="after")
    def _keys_are_keys(self) -> Self:
        if self.require_signatures and self.trusted_keys is None:
            raise ValueError("require_signatures needs trusted_keys, the file of those that count")
        try:
            self.trust()
        except InvalidArgument as exc:
            raise ValueError(str(exc)) from exc
        return self

    def trust(self) -> Trust | None:
        """Returns whose word is taken of bundles; None where no keys are named."""
        if self.trusted_keys is None:
            return None
        return Trust.parse(read_keys(self.trusted_keys), required=self.require_signatures)

    @classmethod
    def from_command_line(cls, program: str, description: str) -> Self:
        """Reads flags and environment; prints every problem at once and exits with status 2 if there are any."""
        try:
            settings = cls(_cli_parse_args=True, _cli_prog_name=program)
        except ValidationError as exc:
            _refuse(program, exc)
        settings._pass_on()
        return settings

    def _pass_on(self) -> None:
        """Puts flags into the environment, where stores and channels look that this process or its workers open."""
        if self.tls:
            names = (
                (CA_VARIABLE, self.tls.ca),
                (CERTIFICATE_VARIABLE, self.tls.certificate),
                (KEY_VARIABLE, self.tls.key),
            )
            os.environ.update({name: str(path.absolute()) for name, path in names if path})
        else:
            os.environ.pop(CA_VARIABLE, None)
        if "encryption" in self.model_fields_set:
            os.environ[ENCRYPTION_VARIABLE] = self.encryption
        if self.master_key:
            os.environ[MASTER_KEY_VARIABLE] = self.master_key
        if self.artifact_cache is not None:
            os.environ[FOLDER_VARIABLE] = str(self.artifact_cache.absolute())
        if "artifact_cache_bytes" in self.model_fields_set:
            os.environ[BYTES_VARIABLE] = str(self.artifact_cache_bytes)
        if self.trusted_keys is not None:
            os.environ[KEYS_VARIABLE] = str(self.trusted_keys.absolute())
            os.environ[REQUIRE_VARIABLE] = str(self.require_signatures).lower()


def _refuse(program: str, error: ValidationError) -> NoReturn:
    print(f"{program}: these settings are wrong:", file=sys.stderr)
    for problem in error.errors():
        name = "_".join(str(part) for part in problem["loc"])
        where = f"{PREFIX}{name.upper()} (--{name.replace('_', '-')}): " if name else ""
        print(f"  {where}{problem['msg'].removeprefix('Value error, ')}", file=sys.stderr)
    raise SystemExit(2)


def split_address(address: str) -> tuple[str, int]:
    """Splits `host:port`.

    Raises:
        ValueError: the address is not of that form.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ValueError(f"{address!r} is not host:port")
    return host, int(port)
