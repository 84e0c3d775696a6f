"""The valid requests that a fuzz run mutates: of both protocols, over gRPC and over HTTP."""

from typing import Any

import numpy as np
from atelier_serving.oip.protos import open_inference_pb2 as pb
from grpc_health.v1 import health_pb2
from tensorflow_serving.apis import get_model_metadata_pb2

from tests.support import open_inference as v2
from tests.support import wire

PREDICTION, MODEL = "/tensorflow.serving.PredictionService", "/tensorflow.serving.ModelService"
_TEXT = np.array([b"a", b"\xff"], object)
# `large` is left out: a model that makes gigabytes of what it is asked for does so when asked.
_PREDICTS = [
    wire.predict_request(x=wire.X),
    wire.predict_request(version=1, x=wire.X, outputs=["y"]),
    wire.predict_request(label="stable", x=wire.tensor(float_val=[1.0])),
    wire.predict_request(signature="echo", text=_TEXT, number=np.array([1, 2])),
    wire.predict_request(signature="defaulted", x=wire.X),
    wire.predict_request(signature="matrix", x=np.ones([3, 2], np.float32)),
    wire.predict_request(signature="bytes", text=_TEXT),
    *(
        wire.predict_request(signature=f"type_{kind}", x=np.ones([2, 2], kind))
        for kind in ("int8", "float16", "bool")
    ),
]
_FLOATS = {"x": np.array([1, 2.5], np.float32)}
_ECHOED = {"text": v2.strings(b"a", b"\xff"), "number": np.array([1, 2])}
# Each data type in each form that it has.
_INFERS = [
    v2.infer_message(_FLOATS, raw=True, id="7", outputs=["y"]),
    v2.infer_message(_FLOATS, raw=False, model_version="stable"),
    *(v2.infer_message(_ECHOED, raw=raw, signature="echo") for raw in (True, False)),
    v2.infer_message({"x": np.ones([3, 2], np.float32)}, raw=True, signature="matrix"),
    *(
        v2.infer_message({"x": array}, raw=raw, signature=v2.SIGNATURES[kind])
        for kind, array in v2.EDGES.items()
        for raw in (True, False)
        if raw or kind not in ("FP16", "BF16")
    ),
]
_ONE = wire.example(value=0.5, bonus=2)
_TASKS = [("classify", {"signature": "classify"}), ("regress", {"signature": "regress"})]
SEEDS = {
    f"{PREDICTION}/Predict": _PREDICTS,
    f"{PREDICTION}/Classify": [
        wire.classify_request(_ONE, signature="classify"),
        wire.classify_request(_ONE, _ONE, context=_ONE, signature="classify_scores"),
    ],
    f"{PREDICTION}/Regress": [wire.regress_request(_ONE, _ONE, signature="regress")],
    f"{PREDICTION}/MultiInference": [wire.multi_request(_TASKS, _ONE)],
    f"{PREDICTION}/GetModelMetadata": [
        wire.spec(get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"]))
    ],
    f"{MODEL}/GetModelStatus": [wire.status_request(), wire.status_request(version=1)],
    "/grpc.health.v1.Health/Check": [health_pb2.HealthCheckRequest(service="PredictionService")],
    f"/{v2.SERVICE}/ModelInfer": _INFERS,
    f"/{v2.SERVICE}/ModelMetadata": [pb.ModelMetadataRequest(name="toy", version="stable")],
    f"/{v2.SERVICE}/ModelReady": [pb.ModelReadyRequest(name="toy", version="1")],
}
# How often each of them is asked.
WEIGHTS = (10, 3, 3, 3, 1, 1, 1, 10, 1, 1)
ALL = [message.SerializeToString() for messages in SEEDS.values() for message in messages]
DOCUMENTS: dict[str, list[Any]] = {
    "predict": [
        {"instances": [1, 2.5]},
        {"instances": [{"x": [1, 2]}, {"x": [3, 4]}]},
        {"inputs": {"x": [1]}, "signature_name": "serving_default"},
        {"signature_name": "echo", "instances": [{"text": {"b64": "aGk="}, "number": 4}]},
        {"signature_name": "type_int64", "inputs": [[1, 2], [3, 4]]},
        {"signature_name": "bytes", "inputs": {"text": [["a"], [{"b64": "/w=="}]]}},
        {"signature_name": "scalar", "inputs": True},
    ],
    "classify": [{"signature_name": "classify", "context": {"bonus": 1}, "examples": [{"value": 0.5}, {}]}],
    "regress": [{"signature_name": "regress", "examples": [{"value": [1.5], "bonus": 3}]}],
}
PATHS = (
    b"/v1/models/toy:",
    b"/v1/models/toy/versions/1:",
    b"/v1/models/toy/labels/stable:",
    b"/v1/models/toy",
    b"/v1/models/toy/metadata",
    b"/v1/models/toy/versions/1/metadata",
)
# The same over HTTP: a body in JSON or with bytes behind it, and its headers.
INFER_BODIES = [
    v2.infer_body(inputs, binary=binary, signature=signature)
    for signature, inputs in (
        ("", _FLOATS),
        ("echo", {"text": v2.strings(b"a", b"b"), "number": np.array([1, 2])}),
        *(
            (v2.SIGNATURES[kind], {"x": v2.EDGES[kind]})
            for kind in ("INT64", "BOOL", "FP64", "BYTES", "BF16")
        ),
    )
    for binary in (True, False)
    if binary or signature != v2.SIGNATURES["BF16"]
]
INFER_PATHS = (
    b"/v2/models/toy/infer",
    b"/v2/models/toy/versions/stable/infer",
    b"/v2/models/toy/versions/1/infer",
)
INFER_PAGES = (
    b"/v2",
    b"/v2/models/toy",
    b"/v2/models/toy/versions/stable",
    b"/v2/models/toy/versions/1/ready",
)
