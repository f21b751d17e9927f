"""Real Tritons that take only clients with a certificate, one and several, for hosts and for language models."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from support.waiting import until
from symbiont.common.errors import Unavailable
from symbiont.common.security.authority import Authority
from symbiont.common.security.files import Renewed, Tls
from symbiont.common.security.suite import CLIENT, TRITON, SuiteCertificates
from symbiont.engine.generation.settings import GeneratorSettings
from symbiont.engine.settings import HostSettings
from symbiont.triton.addresses import Addresses
from symbiont.triton.client import HostClient, is_server_ready
from symbiont.triton.connection import TritonTls
from symbiont.triton.generator_pool import TokenPool
from symbiont.triton.generators import TokenGenerators
from symbiont.triton.installation import find_triton
from symbiont.triton.placement import Spread
from symbiont.triton.pool import HostPool
from symbiont.triton.server import TritonServer
from symbiont.triton.servers import Watching

TOLD, MAKES = HostSettings(Path()), GeneratorSettings(Path())


@pytest.fixture
def certificates(tmp_path: Path) -> SuiteCertificates:
    made = SuiteCertificates(tmp_path / "tls")
    made.prepare()
    return made


@pytest.fixture
async def servers(tmp_path: Path, certificates: SuiteCertificates) -> AsyncIterator[list[TritonServer]]:
    installation, tls = find_triton(start=Path(__file__).parent), certificates.of(TRITON)
    async with AsyncExitStack() as stack:
        made = [TritonServer(installation, tmp_path / f"triton-{number}", tls=tls) for number in (1, 2)]
        for server in made:
            (tmp_path / f"triton-{made.index(server) + 1}").mkdir()
            await stack.enter_async_context(server)
        yield made


async def test_tritons_know_their_clients(
    servers: list[TritonServer], certificates: SuiteCertificates, tmp_path: Path
) -> None:
    own = certificates.of("inference")
    tls = TritonTls(Renewed(own))
    stranger = Authority(tmp_path / "stranger").issue(tmp_path / "wrong", "spiffe://symbiont/service/inference")
    for refused in (None, TritonTls(Renewed(Tls(own.ca))), TritonTls(Renewed(Tls(own.ca, *stranger.files()[1:])))):
        assert not await is_server_ready(servers[0].url, refused)
        async with HostClient(servers[0].url, TOLD, refused) as client:
            with pytest.raises(Unavailable):
                await client.check()
    # A server by another name than its certificate's is not believed either.
    assert not await is_server_ready(servers[0].url, TritonTls(Renewed(own), "elsewhere"))
    assert await is_server_ready(servers[0].url, TritonTls(Renewed(certificates.of(CLIENT)), "triton"))
    addresses = Addresses.parse(",".join(server.url for server in servers))
    connect = partial(HostClient, tls=tls)
    async with HostPool(addresses, TOLD, Spread(), Watching(), connect=connect) as pool:
        await until(lambda: pool.ready == 2)
    generators = TokenGenerators(servers[0].url, MAKES, tls)
    await generators.check()
    await generators.close()
    writing = TokenPool(addresses, MAKES, Spread(), Watching(), tls)
    await writing.start()
    try:
        await until(lambda: [one.state.value for one in writing._servers.known] == ["ready", "ready"])
    finally:
        await writing.close()
