"""Bad input to the Open Inference Protocol: refused by the name of what is wrong, and nothing is computed."""

from typing import Any

from support.open_inference import Parameter, Request, ids, output, raw, request, texts, typed

LONG = [1] * 33
NAN = float("nan")


def pair(first: Any = ("a",), second: Any = ("b",), **fields: Any) -> Any:
    return request(texts(*first), texts(*second, name="TEXT_PAIR"), **fields)


def field(name: str, datatype: str, *, shape: Any = (1,), **contents: Any) -> Any:
    """A call of `credit` with one business field."""
    return request(texts("a"), typed(f"FIELD_{name}", datatype, shape, **contents), model_name="credit")


def types(*rows: list[int]) -> Any:
    return ids(*rows, name="TOKEN_TYPE_IDS")


def asked(model: str, **parameters: Any) -> Any:
    kinds = {str: "string_param", int: "int64_param", float: "double_param", bool: "bool_param"}
    given = {name: Parameter(**{kinds[type(value)]: value}) for name, value in parameters.items()}
    second = [texts("b", name="TEXT_PAIR")] if model == "answers" else []
    return request(texts("a"), *second, model_name=model, parameters=given)


BAD: list[tuple[str, Any, str]] = [
    ("no inputs", Request(model_name="mood"), "inputs"),
    ("unknown input", request(typed("TEXTS", bytes_contents=[b"a"])), "inputs['TEXTS']"),
    ("wrong datatype", request(typed(datatype="FP32", fp32_contents=[1])), "TEXT"),
    ("wrong rank", request(typed(shape=(1, 1, 1), bytes_contents=[b"a"])), "TEXT"),
    ("two columns of texts", request(typed(shape=(1, 2), bytes_contents=[b"a", b"b"])), "TEXT"),
    ("no shape", request(typed(shape=(), bytes_contents=[b"a"])), "TEXT"),
    ("no rows", request(typed(shape=(0,))), "TEXT"),
    ("negative shape", request(typed(shape=(-1,), bytes_contents=[b"a"])), "TEXT"),
    ("too many rows", request(texts(*["a"] * 1025)), "TEXT"),
    ("huge shape", request(typed("INPUT_IDS", "INT64", (1024, 1 << 62), int64_contents=[1])), "INPUT_IDS"),
    ("too few elements", request(typed(shape=(2,), bytes_contents=[b"a"])), "TEXT"),
    ("no contents", request(typed()), "TEXT"),
    ("contents of another type", request(typed(int_contents=[1])), "TEXT"),
    ("empty text", request(texts("a", "")), "TEXT[1]"),
    ("white space", request(texts(" \n")), "TEXT[0]"),
    ("over-long text", request(texts("x" * (1 << 19))), "TEXT[0]"),
    ("not UTF-8", request(typed(bytes_contents=[b"\xff"])), "TEXT[0]"),
    ("twice", request(texts("a"), texts("b")), "TEXT"),
    ("thousands of inputs", request(*[texts("a")] * 2000), "inputs"),
    ("no name of an input", request(typed("", bytes_contents=[b"a"])), "inputs['']"),
    ("unheard-of datatype", request(typed(datatype="FP16")), "TEXT"),
    ("datatype of ids", request(typed("INPUT_IDS", "FP32", (1, 1), fp32_contents=[1])), "INPUT_IDS"),
    ("the host's own input", request(texts("a"), ids([1], name="ROW_LENGTHS")), "inputs['ROW_LENGTHS']"),
    ("the host's bundle", request(texts("a"), texts("b", name="BUNDLE_DIGEST")), "inputs['BUNDLE_DIGEST']"),
    ("a pair for a single text", pair(), "inputs['TEXT_PAIR']"),
    ("ids twice", request(ids([1]), ids([1])), "INPUT_IDS"),
    ("rows of texts and fields", field("owner", "BOOL", shape=(2,), bool_contents=[True, False]), "FIELD_owner"),
    ("texts and ids", request(texts("a"), ids([1])), "INPUT_IDS"),
    ("texts and a mask", request(texts("a"), ids([1], name="ATTENTION_MASK")), "ATTENTION_MASK"),
    ("only a mask", request(ids([1], name="ATTENTION_MASK")), "inputs"),
    ("rank of ids", request(typed("INPUT_IDS", "INT32", (2,), int_contents=[1, 2])), "INPUT_IDS"),
    ("negative id", request(ids([1], [-1])), "INPUT_IDS[1]"),
    ("huge id", request(ids([1 << 31])), "INPUT_IDS[0]"),
    ("mask of another shape", request(ids([1, 2]), ids([1], name="ATTENTION_MASK")), "ATTENTION_MASK"),
    ("mask of two", request(ids([1, 2]), ids([1, 2], name="ATTENTION_MASK")), "ATTENTION_MASK"),
    ("mask of zeros", request(ids([1], [1]), ids([1], [0], name="ATTENTION_MASK")), "ATTENTION_MASK[1]"),
    ("mask with a hole", request(ids([1, 2, 3]), ids([1, 0, 1], name="ATTENTION_MASK")), "ATTENTION_MASK[0]"),
    ("more tokens than the model takes", request(ids(LONG)), "INPUT_IDS[0]"),
    ("mixed contents", request(texts("a"), raw_input_contents=[raw(b"a")]), "TEXT"),
    ("count of raw contents", request(typed(), raw_input_contents=[raw(b"a")] * 2), "raw_input_contents"),
    ("raw contents cut", request(typed(), raw_input_contents=[raw(b"abc")[:-1]]), "TEXT"),
    ("raw length cut", request(typed(), raw_input_contents=[b"\1\0"]), "TEXT"),
    ("raw contents too many", request(typed(), raw_input_contents=[raw(b"a", b"b")]), "TEXT"),
    ("raw ids too few", request(typed("INPUT_IDS", "INT32", (1, 2)), raw_input_contents=[b"\0" * 4]), "INPUT_IDS"),
    (
        "shared memory",
        request(typed(parameters={"shared_memory_region": Parameter(string_param="r")})),
        "TEXT['shared_memory_region']",
    ),
    ("unknown parameter", request(parameters={"x": Parameter(bool_param=True)}), "parameters['x']"),
    ("sequence", request(parameters={"sequence_id": Parameter(int64_param=1)}), "parameters['sequence_id']"),
    ("kind of priority", request(parameters={"priority": Parameter(string_param="1")}), "parameters.priority"),
    ("negative priority", request(parameters={"priority": Parameter(int64_param=-1)}), "parameters.priority"),
    ("reserved parameter", asked("mood", triton_x=True), "parameters['triton_x']"),
    ("kind of routing_key", asked("mood", routing_key=7), "parameters.routing_key"),
    ("long routing_key", asked("mood", routing_key="k" * 129), "parameters.routing_key"),
    ("threshold of a class", asked("mood", threshold=0.5), "parameters.threshold"),
    ("top_k of a class", asked("mood", top_k=2), "parameters.top_k"),
    ("offset_unit of a class", asked("mood", offset_unit="utf8_byte"), "parameters.offset_unit"),
    ("top_k of labels", asked("topics", top_k=2), "parameters.top_k"),
    ("threshold above 1", asked("topics", threshold=1.5), "parameters.threshold"),
    ("threshold NaN", asked("names", threshold=NAN), "parameters.threshold"),
    ("threshold in words", asked("names", threshold="half"), "parameters.threshold"),
    ("threshold of a score", asked("credit", threshold=0.5), "parameters.threshold"),
    ("threshold of a vector", asked("vectors", threshold=0.5), "parameters.threshold"),
    ("negative top_k", asked("answers", top_k=-1), "parameters.top_k"),
    ("kind of top_k", asked("answers", top_k=1.0), "parameters.top_k"),
    ("unheard-of unit", asked("names", offset_unit="words"), "parameters.offset_unit"),
    (
        "threshold of token ids",
        request(ids([1]), model_name="names", parameters={"threshold": Parameter(double_param=0.5)}),
        "parameters.threshold",
    ),
    ("kind of timeout", request(parameters={"timeout": Parameter(uint64_param=1)}), "parameters.timeout"),
    ("negative timeout", request(parameters={"timeout": Parameter(int64_param=-1)}), "parameters.timeout"),
    ("unknown output", request(outputs=[output("LOGITS")]), "outputs['LOGITS']"),
    ("output of another task", request(model_name="names", outputs=[output("LABEL")]), "outputs['LABEL']"),
    ("an endless name of an input", request(typed("x" * 100_000, bytes_contents=[b"a"])), f"inputs['{'x' * 100}']"),
    ("an endless name of an output", request(outputs=[output("x" * 100_000)]), f"outputs['{'x' * 100}']"),
    (
        "no classes of it",
        request(outputs=[output("x" * 100_000, classification=Parameter(int64_param=0))]),
        f"outputs['{'x' * 100}']",
    ),
    ("an endless name of a model", request(model_name="m" * 100_000), "model_name"),
    ("output twice", request(outputs=[output("LABEL"), output("LABEL")]), "LABEL"),
    ("parameter of an output", request(outputs=[output("LABEL", x=Parameter(bool_param=True))]), "LABEL['x']"),
    (
        "no classes",
        request(outputs=[output("PROBABILITIES", classification=Parameter(int64_param=0))]),
        "PROBABILITIES",
    ),
    ("classes of labels", request(outputs=[output("LABEL", classification=Parameter(int64_param=1))]), "LABEL"),
    (
        "classes of a score",
        request(texts("a"), model_name="credit", outputs=[output("SCORE", classification=Parameter(int64_param=1))]),
        "SCORE",
    ),
    ("no second text", request(texts("a"), model_name="pairs"), "TEXT_PAIR"),
    ("no first text", request(texts("a", name="TEXT_PAIR"), model_name="pairs"), "TEXT_PAIR"),
    ("no context", request(texts("a"), model_name="answers"), "TEXT_PAIR"),
    ("fewer second texts", pair(("a", "b"), ("c",), model_name="pairs"), "TEXT_PAIR"),
    ("empty second text", pair(("a", "b"), ("c", ""), model_name="pairs"), "TEXT_PAIR[1]"),
    ("over-long second text", pair(("a",), ("x" * (1 << 19),), model_name="pairs"), "TEXT_PAIR[0]"),
    ("pair of a task of texts", pair(model_name="names"), "inputs['TEXT_PAIR']"),
    ("types of a single text", request(ids([1, 2]), types([0, 1])), "TOKEN_TYPE_IDS[0]"),
    ("types without ids", request(types([0, 1]), model_name="pairs"), "inputs"),
    ("types with texts", request(texts("a"), types([0]), model_name="vectors"), "TOKEN_TYPE_IDS"),
    ("types of another shape", request(ids([1, 2]), types([0]), model_name="pairs"), "TOKEN_TYPE_IDS"),
    ("types of two", request(ids([1, 2]), types([0, 2]), model_name="pairs"), "TOKEN_TYPE_IDS"),
    ("types that go back", request(ids([1, 2, 3]), types([0, 1, 0]), model_name="pairs"), "TOKEN_TYPE_IDS[0]"),
    ("types that begin with one", request(ids([1, 2]), types([1, 1]), model_name="pairs"), "TOKEN_TYPE_IDS[0]"),
    ("similarity of one text", request(model_name="vectors", outputs=[output("SIMILARITY")]), "SIMILARITY"),
    ("vector of two texts", pair(model_name="vectors", outputs=[output("EMBEDDING")]), "EMBEDDING"),
    ("similarity of ids", request(ids([1]), model_name="vectors", outputs=[output("SIMILARITY")]), "SIMILARITY"),
    ("names of ids", request(ids([1]), model_name="names", outputs=[output("ENTITIES")]), "ENTITIES"),
    ("logits of a text", request(model_name="names", outputs=[output("LOGITS")]), "LOGITS"),
    ("a field of another model", request(texts("a"), texts("b", name="FIELD_owner")), "inputs['FIELD_owner']"),
    ("no such field", field("age", "FP64", fp64_contents=[1.0]), "inputs['FIELD_age']"),
    ("number as text", field("income", "BYTES", bytes_contents=[b"1"]), "FIELD_income"),
    ("number as integer", field("income", "INT64", int64_contents=[1]), "FIELD_income"),
    ("NaN", field("income", "FP64", fp64_contents=[NAN]), "FIELD_income[0]"),
    ("NaN of fp32", field("income", "FP32", fp32_contents=[NAN]), "FIELD_income[0]"),
    ("infinity", field("income", "FP64", fp64_contents=[float("inf")]), "FIELD_income[0]"),
    ("huge number", field("income", "FP64", fp64_contents=[1e300]), "FIELD_income[0]"),
    (
        "NaN beside ids",
        request(ids([1]), typed("FIELD_income", "FP64", fp64_contents=[NAN]), model_name="credit"),
        "FIELD_income[0]",
    ),
    ("shape of a field", field("income", "FP64", shape=(1, 2), fp64_contents=[1.0, 2.0]), "FIELD_income"),
    ("flag as number", field("owner", "FP64", fp64_contents=[1.0]), "FIELD_owner"),
    ("category not UTF-8", field("home region", "BYTES", bytes_contents=[b"\xff"]), "inputs['FIELD_home region'][0]"),
    (
        "over-long category",
        field("home region", "BYTES", bytes_contents=[b"x" * (1 << 19)]),
        "inputs['FIELD_home region'][0]",
    ),
    (
        "raw flag of two",
        request(typed(), typed("FIELD_owner", "BOOL"), model_name="credit", raw_input_contents=[raw(b"a"), b"\2"]),
        "FIELD_owner",
    ),
    ("digest and number", request(model_name=f"bundles/{'0' * 64}", model_version="1"), "model_version"),
    ("half a digest", request(model_name="bundles/0123"), "model_name"),
    ("no name", request(model_name=""), "model_name"),
    ("resource name", request(model_name="models/mood"), "model_name"),
    ("no number", request(model_version="latest"), "model_version"),
    ("alias and version", request(model_name="mood@production", model_version="1"), "model_version"),
]


async def test_bad_input(kinds: Any, open_stub: Any, refusal: Any) -> None:
    """One suite for the whole table: each call is refused, by its field, and reaches neither tokens nor host."""
    for name, bad, field in BAD:
        status, found, text = await refusal(open_stub.ModelInfer(bad))
        assert (status, found) == ("INVALID_ARGUMENT", field), f"{name}: {text}"
        assert text.startswith(f"{field}: "), name
        assert kinds.token_request_ids == kinds.triton.request_ids == [], name


async def test_a_question_that_leaves_no_room(kinds: Any, open_stub: Any, refusal: Any) -> None:
    """Only tokenization can tell."""
    status, found, _ = await refusal(open_stub.ModelInfer(pair(("a", "b " * 40), ("c", "d"), model_name="answers")))
    assert (status, found) == ("INVALID_ARGUMENT", "TEXT[1]")
    assert kinds.triton.request_ids == []


async def test_a_stream_refuses_in_the_same_words(kinds: Any, open_stub: Any, refusal: Any) -> None:
    call = open_stub.ModelStreamInfer()
    for name, bad, _ in BAD:
        await call.write(bad)
        status, _, told = await refusal(open_stub.ModelInfer(bad))
        assert (await call.read()).error_message == f"{status}: {told}", name
    await call.done_writing()
    assert kinds.token_request_ids == kinds.triton.request_ids == []
