"""Every RPC of every service, called by every role: the answer is the table's."""

from collections.abc import Iterator
from itertools import product

import grpc
import pytest

from support.guarded import GuardedProcess, said
from support.service import ServiceProcess
from symbiont.common.access.table import ROLES, rows
from symbiont.common.principal import Role

SERVICE_OF = {
    "symbiont.tokenization": "tokenization",
    "symbiont.training": "training",
    "symbiont.inference": "inference",
    "inference.GRPCInferenceService": "inference",
}
REFUSED = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED
OF_INSTALLATION = {Role.OPERATOR, Role.SERVICE}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ServiceProcess]]:
    folder = tmp_path_factory.mktemp("access")
    common = {"artifact_root": folder / "artifacts"}
    tokenization = GuardedProcess("tokenization", folder, **common)
    training = GuardedProcess(
        "training",
        folder,
        database_url=f"sqlite:///{folder}/symbiont.db",
        state_root=folder / "jobs",
        tokenization_address=tokenization.address,
        **common,
    )
    addresses = {"training_address": training.address, "tokenization_address": tokenization.address}
    inference = GuardedProcess("inference", folder, **addresses, **common)
    started = [tokenization.start(), training.start(), inference.start()]
    yield {process.name: process for process in started}
    assert [process.stop() for process in started] == [0, 0, 0]


def homes(method: str) -> list[str]:
    """Returns the services that have an RPC: health and reflection are everywhere."""
    found = [name for prefix, name in SERVICE_OF.items() if method.startswith(f"/{prefix}")]
    return found or ["tokenization", "training", "inference"]


def code_of(channel: grpc.Channel, method: str, metadata: tuple[tuple[str, str], ...]) -> grpc.StatusCode:
    """Sends one empty message, whatever the shape of the RPC; returns how that ends, OK with the first answer."""
    call = channel.stream_stream(method)(iter([b""]), metadata=metadata, timeout=60)
    try:
        next(call, None)
        return grpc.StatusCode.OK
    except grpc.RpcError as exc:
        return exc.code()
    finally:
        call.cancel()


@pytest.mark.parametrize("method", sorted(rows()))
def test_an_rpc_is_for_the_roles_of_its_row(services: dict[str, ServiceProcess], method: str) -> None:
    row = rows()[method]
    for home in homes(method):
        with grpc.insecure_channel(services[home].address) as channel:
            let_on = {
                (role, tenant): code_of(channel, method, said("ana", tenant, role)) not in REFUSED
                for role, tenant in product(ROLES, ("", "bank", "shop"))
            }
            expected = {
                (role, tenant): row.anybody or (role in row.roles and not (tenant and role in OF_INSTALLATION))
                for role, tenant in product(ROLES, ("", "bank", "shop"))
            }
            assert let_on == expected
            assert (code_of(channel, method, ()) not in REFUSED) == row.anybody
            assert (code_of(channel, method, said("ana", "bank")) not in REFUSED) == row.anybody
