"""The table has all that is served, and nothing else."""

from importlib import import_module
from pathlib import Path

from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from symbiont.common.access.table import ROLES, rows
from symbiont.common.principal import Role
from symbiont.triton.open_inference import open_inference_pb2

PROTOS = Path(__file__).parents[4] / "protos"


def served() -> set[str]:
    names = [".".join(f.relative_to(PROTOS).with_suffix("").parts) for f in PROTOS.rglob("*.proto")]
    files = [import_module(f"symbiont.api.{name.removeprefix('symbiont.')}_pb2").DESCRIPTOR for name in names]
    files += [open_inference_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR]
    services = [service for file in files for service in file.services_by_name.values()]
    health = [name for name in vars(health_pb2_grpc.HealthServicer) if name[0].isupper()]
    return {f"/{s.full_name}/{m.name}" for s in services for m in s.methods} | {
        f"/grpc.health.v1.Health/{name}" for name in health
    }


def test_every_rpc_has_a_row_and_every_row_an_rpc() -> None:
    assert set(rows()) == served()


def test_every_role_has_a_column() -> None:
    assert set(ROLES) == set(Role)


def test_what_it_says_of_calls_is_known() -> None:
    assert {row.heard for row in rows().values()} == {"change", "read", "count"}


def test_some_rows() -> None:
    """What is read off the page is what is meant."""
    table = rows()
    approve = table["/symbiont.training.v1.PromotionService/ApproveModelVersion"]
    assert approve.roles == {Role.APPROVER, Role.ADMIN, Role.OPERATOR}
    assert table["/symbiont.training.v1.WorkerService/Report"].roles == {Role.WORKER}
    assert [method for method, row in table.items() if row.anybody] == [
        "/inference.GRPCInferenceService/ServerLive",
        "/inference.GRPCInferenceService/ServerReady",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
    ]
