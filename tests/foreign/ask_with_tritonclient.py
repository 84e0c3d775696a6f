"""Ask a server with tritonclient, in all its forms: `ask_with_tritonclient.py GRPC REST`, the inputs on standard input.

Inputs are {data type: {"signature": ..., "x": tensor}}; printed are the outputs `y` as {form: {data type: tensor}},
and {"told": ...}: what the clients' other calls say.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import tritonclient.grpc as over_grpc
import tritonclient.grpc.aio as over_grpc_aio
import tritonclient.http as over_http
import tritonclient.http.aio as over_http_aio
from exchanged import heard, told

MODEL = "toy"
# These have no form in JSON, in this client either.
BINARY_ONLY = ("FP16", "BF16")


def asked(library: Any, datatype: str, facts: Any, **form: bool) -> dict[str, Any]:
    """The arguments of `infer`."""
    array = heard(facts["x"])
    tensor = library.InferInput("x", list(array.shape), datatype)
    tensor.set_data_from_numpy(array, **form)
    return {
        "inputs": [tensor],
        "outputs": [library.InferRequestedOutput("y", **form)],
        "parameters": {"signature_name": facts["signature"]},
        "request_id": datatype,
    }


def found(result: Any, datatype: str) -> Any:
    response = result.get_response()
    if not isinstance(response, dict):
        response = {"id": response.id, "model_version": response.model_version}
    assert response["id"] == datatype
    assert response["model_version"] == "1"
    return told(result.as_numpy("y"))


async def ask_aio(rest: str, grpc: str, inputs: Any) -> dict[str, Any]:
    forms: dict[str, Any] = {"gRPC, asyncio": {}, "HTTP, asyncio": {}}
    async with over_grpc_aio.InferenceServerClient(grpc) as client:
        for kind, facts in inputs.items():
            answer = await client.infer(MODEL, **asked(over_grpc, kind, facts))
            forms["gRPC, asyncio"][kind] = found(answer, kind)
    async with over_http_aio.InferenceServerClient(rest) as client:
        for kind, facts in inputs.items():
            answer = await client.infer(MODEL, **asked(over_http, kind, facts, binary_data=True))
            forms["HTTP, asyncio"][kind] = found(answer, kind)
    return forms


def states(client: Any) -> list[bool]:
    return [
        client.is_server_live(),
        client.is_server_ready(),
        client.is_model_ready(MODEL),
        client.is_model_ready(MODEL, "stable"),
        client.is_model_ready(MODEL, "7"),
        client.is_model_ready("no"),
    ]


def main() -> None:
    grpc, rest = sys.argv[1:]
    inputs = json.load(sys.stdin)
    forms = asyncio.run(ask_aio(rest, grpc, inputs))
    call, http = over_grpc.InferenceServerClient(grpc), over_http.InferenceServerClient(rest)
    forms["gRPC"] = {
        kind: found(call.infer(MODEL, **asked(over_grpc, kind, facts)), kind)
        for kind, facts in inputs.items()
    }
    forms["HTTP, binary"] = {
        kind: found(http.infer(MODEL, **asked(over_http, kind, facts, binary_data=True)), kind)
        for kind, facts in inputs.items()
    }
    forms["HTTP, JSON"] = {
        kind: found(http.infer(MODEL, **asked(over_http, kind, facts, binary_data=False)), kind)
        for kind, facts in inputs.items()
        if kind not in BINARY_ONLY
    }
    for algorithm in ("gzip", "deflate"):
        forms[f"HTTP, {algorithm}"] = {
            kind: found(
                http.infer(
                    MODEL,
                    **asked(over_http, kind, facts, binary_data=True),
                    request_compression_algorithm=algorithm,
                    response_compression_algorithm=algorithm,
                ),
                kind,
            )
            for kind, facts in inputs.items()
        }
    forms["gRPC, gzip"] = {
        kind: found(call.infer(MODEL, **asked(over_grpc, kind, facts), compression_algorithm="gzip"), kind)
        for kind, facts in inputs.items()
    }
    forms["told"] = {
        "states": [states(call), states(http)],
        "servers": [call.get_server_metadata(as_json=True), http.get_server_metadata()],
        "models": [call.get_model_metadata(MODEL, as_json=True), http.get_model_metadata(MODEL)],
    }
    print(json.dumps(forms))


if __name__ == "__main__":
    main()
