"""Where an RPC about a release enters."""

import uuid
from typing import Any

import grpc
from typing_extensions import override

from symbiont.api.inference.v1 import release_pb2 as pb
from symbiont.api.inference.v1 import release_pb2_grpc as pb_grpc
from symbiont.common.errors import FailedPrecondition, InvalidArgument
from symbiont.common.pages import decode_token, page_of
from symbiont.common.server import Registration
from symbiont.inference.releases import convert
from symbiont.inference.releases.disagreements import Disagreements
from symbiont.inference.releases.releases import Releases

_Context = grpc.aio.ServicerContext[Any, Any]


class ReleaseServicer(pb_grpc.ReleaseServiceServicer):
    """symbiont.inference.v1.ReleaseService."""

    def __init__(self, releases: Releases, disagreements: Disagreements) -> None:
        self._releases = releases
        self._disagreements = disagreements
        # Every process numbers its own rows: its pages are marked as its own.
        self._mark = uuid.uuid4().hex

    @override
    async def GetReleaseObservation(
        self, request: pb.GetReleaseObservationRequest, context: _Context
    ) -> pb.ReleaseObservation:
        """Returns what a release's two versions did."""
        return convert.observation_to_proto(self._releases.observed(_check_name("release", request.release)))

    @override
    async def ListDisagreements(
        self, request: pb.ListDisagreementsRequest, context: _Context
    ) -> pb.ListDisagreementsResponse:
        """Lists rows that a shadow labelled otherwise, newest first."""
        found = self._disagreements.of(_check_name("parent", request.parent))
        if request.page_token and not decode_token(request.page_token).startswith(f"{self._mark}/"):
            problem = "the page before is of another process, which has other rows: begin again"
            raise FailedPrecondition(problem, field="page_token", reason="OTHER_PROCESS")
        # Newest first: the key falls as the number grows.
        keyed = [(f"{self._mark}/{10**15 - number:015d}", each) for number, each in found]
        page, token = page_of(keyed, request.page_size, request.page_token)
        disagreements = [convert.disagreement_to_proto(each) for each in page]
        return pb.ListDisagreementsResponse(disagreements=disagreements, next_page_token=token)


def release_registration(releases: Releases, disagreements: Disagreements) -> Registration:
    """Joins the servicer to its place in a server."""
    name = pb.DESCRIPTOR.services_by_name["ReleaseService"].full_name
    servicer = ReleaseServicer(releases, disagreements)
    return Registration(name, servicer, pb_grpc.add_ReleaseServiceServicer_to_server)


def _check_name(field: str, name: str) -> str:
    parts = name.split("/")
    if parts[::2] != ["models", "aliases", "releases"] or not all(parts):
        form = "models/{model}/aliases/{alias}/releases/{release}"
        raise InvalidArgument(field, f"{name[:200]!r} is not of the form {form}")
    return name
