"""KServe's own client in a process of its own, for its messages and tritonclient's cannot be loaded into one.

Run with `.tools/kserve` on the path: reads calls as JSON from stdin, and writes their outputs as JSON to stdout.
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest

DTYPES = {"BYTES": object, "BOOL": bool, "INT32": np.int32, "INT64": np.int64, "FP32": np.float32, "FP64": np.float64}


def request_of(call: dict[str, Any], raw: bool) -> InferRequest:
    inputs = []
    for name, datatype, rows in call["inputs"]:
        values = [row.encode() for row in rows] if datatype == "BYTES" else rows
        array = np.array(values, DTYPES[datatype])
        made = InferInput(name, list(array.shape), datatype, None if raw else array.reshape(-1).tolist())
        if raw:
            made.set_data_from_numpy(array)
        inputs.append(made)
    return InferRequest(call["model"], inputs, request_id=call["name"], parameters=call["parameters"])


async def answer(client: InferenceGRPCClient, call: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"ready": await client.is_model_ready(call["model"])}
    for way, raw in (("typed", False), ("raw", True)):
        response = await client.infer(request_of(call, raw))
        assert response.id == call["name"]
        found[way] = {output.name: _plain(output.as_numpy()) for output in response.outputs}
    return found


def _plain(array: np.ndarray) -> Any:
    values = array.tolist()
    return [value.decode() if isinstance(value, bytes) else value for value in values]


async def main() -> None:
    given = json.load(sys.stdin)
    async with InferenceGRPCClient(url=given["address"]) as client:
        state = [await client.is_server_live(), await client.is_server_ready()]
        answers = [await answer(client, call) for call in given["calls"]]
    json.dump({"server": state, "answers": answers}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
