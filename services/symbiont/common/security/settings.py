"""Settings by which a service shows who it is and knows its callers."""

import ipaddress
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings

from symbiont.common.principal import Role
from symbiont.common.security.files import Renewed, Tls
from symbiont.common.security.issuer import check_url
from symbiont.common.security.tokens import ALGORITHMS, TokenRules


class SecuritySettings(BaseSettings):
    """TLS with client certificates, tokens, or neither, which must be asked for and stays on this machine."""

    insecure: bool = Field(
        False, description="no TLS, and no question who calls: for loopback addresses only, and no other is taken"
    )
    tls_certificate: Path | None = Field(
        None, description="PEM file with this process's certificate, for callers and for those it calls"
    )
    tls_key: Path | None = Field(None, description="PEM file with the certificate's key")
    tls_clients_ca: Path | None = Field(
        None, description="PEM file with the authorities of client certificates, which every caller of address shows"
    )
    tls_ca: Path | None = Field(
        None, description="PEM file with the authorities of the services called; empty: tls_clients_ca"
    )
    trust_domain: str = Field(
        "symbiont", pattern="^[a-z0-9._-]{1,64}$", description="in certificates: spiffe://DOMAIN/service/NAME"
    )
    identities: Path | None = Field(
        None, description='TOML file with the roles of callers, as "spiffe://DOMAIN/tenant/acme/billing" = ["caller"]'
    )
    token_address: str = Field(
        "", description="host:port that gRPC listens on too, with TLS, for callers who show a token and no certificate"
    )
    token_issuer: str = Field("", description="URL of the OpenID Connect issuer whose tokens are believed; empty: none")
    token_issuer_ca: Path | None = Field(
        None, description="PEM file with the authorities of the issuer's certificate; empty: the system's"
    )
    token_audience: str = Field("symbiont", min_length=1, description="audience that a token must be for")
    token_algorithms: list[str] = Field(
        ["RS256", "ES256", "EdDSA"], description="algorithms that a token may be signed by, as JSON; none with a secret"
    )
    token_clock_skew_seconds: float = Field(
        30.0, ge=0, le=300, description="how far the issuer's clock may be from this one's"
    )
    token_subject_claim: str = Field("sub", min_length=1, description="claim that says who it is; a.b is b within a")
    token_tenant_claim: str = Field(
        "tenant", min_length=1, description="claim that says whose; without it the installation's own"
    )
    token_roles_claim: str = Field("roles", min_length=1, description="claim that lists the roles")
    token_roles: dict[str, Role] = Field(
        {}, description="what the issuer calls roles, as JSON: {'mlops': 'trainer'}; empty: as the suite calls them"
    )
    health_address: str = Field(
        "", description="host:port that answers health checks alone, without TLS: for probes that show no certificate"
    )
    metrics_tls: Literal["off", "server", "mutual"] = Field(
        "off", description="serve metrics with TLS, and with mutual only to who shows a client certificate"
    )

    @field_validator("token_algorithms")
    @classmethod
    def _asymmetric(cls, names: list[str]) -> list[str]:
        if not names or not set(names) <= set(ALGORITHMS):
            raise ValueError(f"must be some of {', '.join(ALGORITHMS)}: with others the public key makes tokens")
        return names

    @field_validator("token_issuer")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        return check_url(url) if url else url

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if self.insecure:
            self._stays_here()
        else:
            self._has_what_it_needs()
        return self

    def _stays_here(self) -> None:
        address = getattr(self, "address", "")
        for name, value in (("address", address), ("token_address", self.token_address)):
            if value and not is_loopback(value):
                raise ValueError(
                    f"insecure is for loopback addresses, and {name} {value} can be reached from elsewhere: set "
                    "tls_certificate, tls_key and tls_clients_ca"
                )
        if self.tls_certificate or self.token_issuer or self.metrics_tls != "off":
            raise ValueError("insecure goes with no TLS and no tokens: leave out one or the other")

    def _has_what_it_needs(self) -> None:
        if not (self.tls_certificate and self.tls_key and self.tls_clients_ca):
            raise ValueError(
                "tls_certificate, tls_key and tls_clients_ca must name files (`symbiont certificates` makes them), or "
                "insecure=true asks for none, on a loopback address"
            )
        if self.token_address and not self.token_issuer:
            raise ValueError("token_address is for tokens, so token_issuer must say whose are believed")

    @property
    def tls(self) -> Tls | None:
        """What channels to other services are opened with; None for plain ones."""
        ca = self.tls_ca or self.tls_clients_ca
        return None if self.insecure or ca is None else Tls(ca, self.tls_certificate, self.tls_key)

    @property
    def served_tls(self) -> Tls | None:
        """What is listened with; None for nothing."""
        if self.insecure or self.tls_clients_ca is None:
            return None
        return Tls(self.tls_clients_ca, self.tls_certificate, self.tls_key)

    @property
    def outgoing(self) -> Renewed | None:
        """The files of `tls`, read; raises FailedPrecondition where they are no good."""
        return Renewed(self.tls) if self.tls else None

    @property
    def token_rules(self) -> TokenRules:
        """Which tokens are believed."""
        return TokenRules(
            self.token_audience,
            tuple(self.token_algorithms),
            self.token_clock_skew_seconds,
            self.token_subject_claim,
            self.token_tenant_claim,
            self.token_roles_claim,
            self.token_roles or None,
        )


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches `host:port`."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
