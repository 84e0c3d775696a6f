"""Ask a server with the kserve SDK's clients: `ask_with_kserve.py GRPC REST`, the inputs on standard input.

Inputs and what is printed are as in ask_with_tritonclient.py.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from exchanged import heard, told
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

MODEL = "toy"
# This SDK has no BF16; JSON and typed contents have no FP16, and this SDK's typed contents no BYTES.
UNKNOWN, NO_JSON, NOT_TYPED = ("BF16",), ("FP16",), ("FP16", "BYTES")


def asked(kind: str, facts: Any, binary: bool) -> InferRequest:
    array = heard(facts["x"])
    tensor = InferInput("x", list(array.shape), kind)
    tensor.set_data_from_numpy(array, binary_data=binary)
    parameters: dict[str, Any] = {"signature_name": facts["signature"]}
    output = RequestedOutput("y", parameters={"binary_data": True} if binary else None)
    return InferRequest(MODEL, [tensor], request_id=kind, parameters=parameters, request_outputs=[output])


def found(response: Any, kind: str) -> Any:
    assert response.id == kind
    return told(response.outputs[0].as_numpy())


async def main() -> None:
    grpc, rest = sys.argv[1:]
    given = json.load(sys.stdin)
    inputs = {kind: facts for kind, facts in given.items() if kind not in UNKNOWN}
    forms: dict[str, Any] = {"gRPC": {}, "gRPC, typed": {}, "HTTP, binary": {}, "HTTP, JSON": {}}
    call = InferenceGRPCClient(grpc)
    http = InferenceRESTClient(RESTConfig(protocol="v2"))
    for kind, facts in inputs.items():
        forms["gRPC"][kind] = found(await call.infer(asked(kind, facts, True)), kind)
        forms["HTTP, binary"][kind] = found(await http.infer(rest, asked(kind, facts, True), MODEL), kind)
        if kind not in NOT_TYPED:
            forms["gRPC, typed"][kind] = found(await call.infer(asked(kind, facts, False)), kind)
        if kind not in NO_JSON:
            forms["HTTP, JSON"][kind] = found(await http.infer(rest, asked(kind, facts, False), MODEL), kind)
    forms["told"] = {
        "states": [
            await call.is_server_live(),
            await call.is_server_ready(),
            await call.is_model_ready(MODEL),
            await http.is_server_live(rest),
            await http.is_server_ready(rest),
            await http.is_model_ready(rest, MODEL),
        ],
        "unknown": [await call.is_model_ready("no"), await http.is_model_ready(rest, "no")],
    }
    await http.close()
    await call.close()
    print(json.dumps(forms))


if __name__ == "__main__":
    asyncio.run(main())
