"""The certificates of a whole suite in one folder: its authority, each part's, and a client that may do all."""

import json
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from symbiont.common.errors import InvalidArgument
from symbiont.common.principal import Role
from symbiont.common.security.authority import DAYS, LOOPBACK, Authority, files_in, write_own
from symbiont.common.security.files import Tls
from symbiont.common.security.identity import ALL, WORKER, identity_of, read_roles_of

TRUST_DOMAIN = "symbiont"
TRAINING, TRITON = "training", "triton"
PARTS = ("tokenization", TRAINING, "inference", TRITON, WORKER)
# Triton reads its certificate when it starts: it is to last for as long as a process may.
TRITON_DAYS = 5 * DAYS
FOLDER, CLIENT = "tls", "client"
_HEADER = "# What each caller may be. Read again when it changes; `symbiont certificates issue` adds to it.\n"


@dataclass(frozen=True)
class SuiteCertificates:
    """Where they lie: a folder for each part, with `ca.pem`, `certificate.pem` and `key.pem`."""

    folder: Path

    @property
    def identities(self) -> Path:
        """The file with the roles of callers."""
        return self.folder / "identities.toml"

    def of(self, name: str) -> Tls:
        """Returns the files of a part, or of the client."""
        return files_in(self.folder / name)

    def prepare(self, hosts: Sequence[str] = (), now: datetime | None = None) -> list[str]:
        """Makes what is missing, or near its end; returns the names of those.

        Args:
            hosts: names and addresses of the parts beside their own names and those of the loopback.
        """
        authority = Authority(self.folder / "authority", now)
        made = []
        for name in (*PARTS, CLIENT):
            if authority.is_sound(self.folder / name):
                continue
            made.append(name)
            if name == CLIENT:
                authority.issue(self.folder / name, client_identity())
            else:
                days = TRITON_DAYS if name == TRITON else DAYS
                identity = identity_of(TRUST_DOMAIN, "service", name)
                authority.issue(self.folder / name, identity, [*LOOPBACK, name, *hosts], days)
        if not self.identities.exists():
            self.add_roles(client_identity(), [ALL])
        return made

    def add_roles(self, identity: str, roles: Sequence[Role | str]) -> None:
        """Gives an identity its line in the file of identities, in place of one that it has.

        Raises:
            InvalidArgument: the file cannot be read, or its roles stand there on several lines.
        """
        before = self.identities.read_text() if self.identities.exists() else _HEADER
        others = [line for line in before.splitlines(keepends=True) if not _is_of(line, identity)]
        if identity in read_roles_of("".join(others), self.identities):
            raise InvalidArgument("identities", f"{identity} has several lines in {self.identities}: change them there")
        line = f"{json.dumps(identity)} = {json.dumps([str(role) for role in roles])}\n"
        write_own(self.identities, "".join([*others, line]).encode())

    def variables(self, part: str) -> Mapping[str, str]:
        """Returns the settings by which a part uses them, as variables of its environment."""
        tls, worker = self.of(part), self.of(WORKER)
        variables = {
            "SYMBIONT_INSECURE": "false",
            "SYMBIONT_TLS_CERTIFICATE": str(tls.certificate),
            "SYMBIONT_TLS_KEY": str(tls.key),
            "SYMBIONT_TLS_CLIENTS_CA": str(tls.ca),
            "SYMBIONT_TLS_CA": str(tls.ca),
            "SYMBIONT_IDENTITIES": str(self.identities),
            "SYMBIONT_TRUST_DOMAIN": TRUST_DOMAIN,
        }
        if part == TRAINING:
            # Of its local workers.
            variables["SYMBIONT_WORKER_TLS_CERTIFICATE"] = str(worker.certificate)
            variables["SYMBIONT_WORKER_TLS_KEY"] = str(worker.key)
        return variables

    def forget_client(self) -> None:
        """Removes the client's files, by which callers know that the suite wants them."""
        shutil.rmtree(self.folder / CLIENT, ignore_errors=True)


def _is_of(line: str, identity: str) -> bool:
    """Whether a line of the file of identities is all that it says of one."""
    try:
        return identity in tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return False


def client_identity() -> str:
    """Returns the identity of the client that may do all."""
    return identity_of(TRUST_DOMAIN, "client", "local")


def client_tls(home: Path) -> Tls | None:
    """Returns how the suite on a home is called; None where it wants no certificate."""
    tls = SuiteCertificates(home / FOLDER).of(CLIENT)
    return tls if tls.ca.exists() else None
