"""A real S3 server on loopback: SeaweedFS, with one bucket."""

import json
import shutil
import subprocess
import sys
import tempfile
from functools import cached_property
from pathlib import Path
from types import TracebackType

import httpx
from s3fs import S3FileSystem

from support.service import free_port
from support.waiting import until_sync

BUCKET = "symbiont-tests"
# Key -> secret, of one who may do all and of one who may only look.
OWNER, READER = ("owner-key", "owner-secret"), ("reader-key", "reader-secret")
_IDENTITIES = {
    "identities": [
        {
            "name": name,
            "credentials": [{"accessKey": key, "secretKey": secret}],
            "actions": actions,
        }
        for name, (key, secret), actions in (
            ("owner", OWNER, ["Admin", "Read", "Write", "List", "Tagging"]),
            ("reader", READER, ["Read", "List"]),
        )
    ]
}


class SeaweedFS:
    """One process with all of its parts; it starts in about three seconds."""

    def __enter__(self) -> "SeaweedFS":
        # Short, because sockets in it have a longest name.
        self._folder = Path(tempfile.mkdtemp(prefix="weed-"))
        self.endpoint = f"http://127.0.0.1:{(port := free_port())}"
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(self._command(port), stdout=log, stderr=log, cwd=self._folder)
        try:
            until_sync(self._has_bucket, 60)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # It takes its time with SIGTERM.
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        for name, port in self._grpc.items():
            Path(f"/tmp/seaweedfs-{name}-grpc-{port}.sock").unlink(missing_ok=True)

    def environment(self, who: tuple[str, str] = OWNER) -> dict[str, str]:
        """Returns the variables with which a process finds it."""
        return {
            "AWS_ACCESS_KEY_ID": who[0],
            "AWS_SECRET_ACCESS_KEY": who[1],
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
        }

    @cached_property
    def filesystem(self) -> S3FileSystem:
        """What shows every object, whatever it belongs to."""
        key, secret = OWNER
        return S3FileSystem(
            key=key, secret=secret, endpoint_url=self.endpoint, use_listings_cache=False, skip_instance_cache=True
        )

    def _command(self, port: int) -> list[str]:
        (self._folder / "s3.json").write_text(json.dumps(_IDENTITIES))
        (self._folder / "data").mkdir()
        # Every port is named: by default that of gRPC is 10000 higher, and two more are always the same.
        ports = {name: free_port() for name in ("master", "volume", "filer")} | {"s3": port}
        flags = {f"{name}.port": number for name, number in ports.items()}
        self._grpc = {name: free_port() for name in ports}
        flags |= {f"{name}.port.grpc": number for name, number in self._grpc.items()}
        flags |= {f"{name}.localSocket": self._folder / f"{name}.sock" for name in ("filer", "s3")}
        flags |= {"s3.port.iceberg": 0, "s3.port.lance": 0, "s3.config": "s3.json", "dir": "data"}
        flags |= {"ip": "127.0.0.1", "ip.bind": "127.0.0.1", "filer": "true", "s3": "true"}
        flags |= {"master.telemetry": "false", "volume.max": 5, "master.volumeSizeLimitMB": 64}
        weed = Path(sys.executable).with_name("weed")
        return [str(weed), "server", *(f"-{name}={value}" for name, value in flags.items())]

    def _has_bucket(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            httpx.get(self.endpoint)
            self.filesystem.mkdir(BUCKET)
        except (httpx.HTTPError, OSError):
            return False
        return True
