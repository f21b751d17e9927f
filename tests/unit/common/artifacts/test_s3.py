"""What goes wrong with S3 is told as one of our errors, with what to set; the server itself is in tests/integration."""

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from s3fs.errors import translate_boto_error

from support.service import free_port
from symbiont.common.artifacts import ArtifactStore, s3
from symbiont.common.artifacts.s3 import S3Objects, open_s3
from symbiont.common.errors import FailedPrecondition, NotFound, SymbiontError, Unavailable


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "ENDPOINT_URL", "ENDPOINT_URL_S3", "REGION", "DEFAULT_REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("CONFIG_FILE", "SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(f"AWS_{name}", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


class Failing:
    """A filesystem that has its bucket and fails at everything else."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def call_s3(self, method: str, **_: Any) -> None:
        if method != "head_bucket":
            raise self.error

    def cat_file(self, *_: Any, **__: Any) -> bytes:
        raise self.error


def answered(code: str, status: int) -> Exception:
    """Returns what s3fs raises when a server says this."""
    response = {"Error": {"Code": code, "Message": "it said so"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    translated: Exception = translate_boto_error(ClientError(response, "GetObject"))
    return translated


@pytest.mark.parametrize(
    ("error", "told", "words"),
    [
        (answered("NoSuchKey", 404), NotFound, "k/x: not in the artifact store s3://bucket/prefix"),
        (answered("NoSuchBucket", 404), FailedPrecondition, "has no bucket bucket.*SYMBIONT_ARTIFACT_ROOT"),
        (answered("SignatureDoesNotMatch", 403), FailedPrecondition, "http://here refuses.*AWS_SECRET_ACCESS_KEY"),
        (answered("InvalidAccessKeyId", 403), FailedPrecondition, "AWS_ACCESS_KEY_ID"),
        (answered("AccessDenied", 403), FailedPrecondition, "AccessDenied: it said so.*list, read, write and delete"),
        (answered("403", 403), FailedPrecondition, "AWS_ENDPOINT_URL"),
        (answered("ExpiredToken", 400), FailedPrecondition, "AWS_ACCESS_KEY_ID"),
        (answered("AuthorizationHeaderMalformed", 400), FailedPrecondition, "AWS_REGION"),
        (answered("PermanentRedirect", 301), FailedPrecondition, "AWS_REGION"),
        (answered("InvalidRequest", 400), FailedPrecondition, "does not take a request"),
        (answered("SlowDown", 503), Unavailable, "SlowDown"),
        (answered("InternalError", 500), Unavailable, "http://here does not answer"),
        (answered("Unheard", 599), Unavailable, "Unheard"),
        (EndpointConnectionError(endpoint_url="http://here"), Unavailable, "s3://bucket/prefix"),
        (TimeoutError(), Unavailable, "try again"),
    ],
)
def test_what_a_store_says_is_told(error: Exception, told: type[SymbiontError], words: str) -> None:
    objects = S3Objects(Failing(error), "bucket/prefix", "http://here")
    with pytest.raises(told, match=words) as caught:
        objects.read("k/x")
    assert type(caught.value) is told
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [ValueError("ours"), OSError(28, "No space left on device"), OSError(13, "no", "/f")])
def test_what_is_no_fault_of_the_store_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        S3Objects(Failing(error), "bucket/prefix", "http://here").read("k/x")
    assert caught.value is error


def test_a_store_that_lists_no_uploads_is_swept_without(monkeypatch: pytest.MonkeyPatch) -> None:
    assert S3Objects(Failing(answered("MethodNotAllowed", 405)), "bucket", "http://here").drop_uploads(0) == 0


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with pytest.raises(Unavailable, match=f"s3://bucket/prefix at {endpoint}"):
        ArtifactStore("s3://bucket/prefix", tmp_path).list("k")


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(s3, "_READ_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        with pytest.raises(Unavailable, match="does not answer"):
            ArtifactStore("s3://bucket/prefix", tmp_path).list("k")


def test_no_keys_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(FailedPrecondition, match="set AWS_ACCESS_KEY_ID"):
        ArtifactStore("s3://bucket/prefix", tmp_path).list("k")


def test_endpoint_and_region_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_s3("bucket")._filesystem.client_kwargs == {}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://there")
    assert open_s3("bucket")._filesystem.endpoint_url == "http://there"
    assert open_s3("bucket")._filesystem.client_kwargs == {"region_name": "us-east-1"}
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://here")
    assert open_s3("bucket")._filesystem.endpoint_url == "http://here"
    assert open_s3("bucket")._filesystem.client_kwargs == {"region_name": "eu-central-1"}


def test_without_s3fs_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(FailedPrecondition, match=r"pip install 'symbiont\[s3\]'"):
        ArtifactStore("s3://bucket/prefix", tmp_path)
