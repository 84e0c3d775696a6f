"""A fuzz run: mutated valid requests over gRPC and REST; every answer has to be a status of the protocol.

Each request is made of a number alone, so that a failure can be repeated: `fuzz(server, models, [number])`.
"""

import gzip
import http.client
import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
from google.protobuf import text_format
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, model_management_pb2

from tests.soak.mutate import mutate_bytes, mutate_json, mutate_message
from tests.support import wire
from tests.support.conformance_model import CONFIG
from tests.support.server import RunningServer

HANG_SECONDS = 30
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
}
_WEIGHTS = (10, 3, 3, 3, 1, 1, 1)
_ALL = [message.SerializeToString() for messages in SEEDS.values() for message in messages]
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
_RESETS = 10
_EMPTY = model_management_pb2.ReloadConfigRequest()
_EMPTY.config.model_config_list.SetInParent()
_NO_MODELS = _EMPTY.SerializeToString()
# 500 is missing on purpose: no request may find a mistake in the server.
STATUSES = {200, 400, 404, 405, 411, 413, 414, 422, 431, 501, 505}


class Findings:
    """What a run saw: how often each status came, and what was no status of the protocol."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.failures: list[str] = []

    def add(self, status: str, number: int, failure: str | None = None) -> None:
        self.statuses[status] += 1
        if failure:
            self.failures.append(f"request {number}: {failure}")


def fuzz(server: RunningServer, models: Path, numbers: Iterable[int], threads: int = 4) -> Findings:
    """Send the requests of these numbers to a server of the conformance model."""
    findings, local, opened = Findings(), threading.local(), []
    reload = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(CONFIG.format(base_path=models / "toy"), reload.config)

    def send(number: int) -> None:
        if not hasattr(local, "channel"):
            local.channel = grpc.insecure_channel(
                server.grpc, options=[("grpc.use_local_subchannel_pool", 1)]
            )
            local.rest = http.client.HTTPConnection(urlsplit(server.rest).netloc, timeout=HANG_SECONDS)
            opened.extend([local.channel, local.rest])
        chosen = random.Random(number)
        kind = chosen.random()
        if kind < 0.005:
            _reload(local.channel, chosen, reload, number, findings)
        elif kind < 0.5:
            _grpc(local.channel, chosen, number, findings)
        elif kind < 0.99:
            _rest(local.rest, chosen, number, findings)
        else:
            _garbage(server.rest, chosen, number, findings)

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(send, numbers):
            pass
    for connection in opened:
        connection.close()
    return findings


def _call(channel: grpc.Channel, path: str, data: bytes, seconds: float) -> tuple[grpc.StatusCode, str]:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    try:
        call(data, timeout=seconds)
    except grpc.RpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


def _mutated(chosen: random.Random, message: Message) -> bytes:
    copy = type(message)()
    copy.CopyFrom(message)
    for _ in range(chosen.choice((1, 1, 2, 3))):
        mutate_message(chosen, copy)
    return copy.SerializeToString()


def _grpc(channel: grpc.Channel, chosen: random.Random, number: int, findings: Findings) -> None:
    (path,) = chosen.choices(list(SEEDS), _WEIGHTS)
    message = chosen.choice(SEEDS[path])
    if chosen.random() < 0.25:
        data = mutate_bytes(chosen, message.SerializeToString(), _ALL)
    else:
        data = _mutated(chosen, message)
    code, text = _call(channel, path, data, HANG_SECONDS)
    # What is no message of the protocol at all is the library's to refuse.
    unreadable = code == grpc.StatusCode.INTERNAL and text == "Exception deserializing request!"
    bad = code in (
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    )
    failure = f"{path} {code.name} {text}\n{data!r}" if bad and not unreadable else None
    findings.add(code.name, number, failure)


def _reload(
    channel: grpc.Channel,
    chosen: random.Random,
    good: model_management_pb2.ReloadConfigRequest,
    number: int,
    findings: Findings,
) -> None:
    """A mutated configuration; it may be a valid one, so the good one follows. Only its own deadline is short."""
    path = f"{MODEL}/HandleReloadConfigRequest"
    mutated = chosen.random() < 0.7
    data = _mutated(chosen, good) if mutated else mutate_bytes(chosen, good.SerializeToString(), _ALL)
    code, text = _call(channel, path, data, 0.2)
    known = code == grpc.StatusCode.UNKNOWN and "did not become available" in text
    unreadable = code == grpc.StatusCode.INTERNAL and text == "Exception deserializing request!"
    bad = code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE)
    failure = f"reload {code.name} {text}\n{data!r}" if bad and not known and not unreadable else None
    findings.add(f"reload {code.name}", number, failure)
    for _ in range(_RESETS):
        code, text = _call(channel, path, good.SerializeToString(), HANG_SECONDS)
        if code != grpc.StatusCode.FAILED_PRECONDITION:
            break
        # A mutated one has moved a label, and moving it back is refused while the version it leads to does not answer;
        # without its model it is a new label again.
        _call(channel, path, _NO_MODELS, HANG_SECONDS)
    # Another thread's reload may end the wait of this one.
    if code not in (grpc.StatusCode.OK, grpc.StatusCode.ABORTED):
        findings.add(code.name, number, f"the good configuration was refused: {code.name} {text}")


def _rest(
    connection: http.client.HTTPConnection, chosen: random.Random, number: int, findings: Findings
) -> None:
    method, documents = chosen.choice(list(DOCUMENTS.items()))
    path = chosen.choice(PATHS)
    verb = "POST" if path.endswith(b":") else "GET"
    path += method.encode() if verb == "POST" else b""
    document = mutate_json(chosen, chosen.choice(documents))
    body = json.dumps(document).encode() if verb == "POST" else b""
    headers = {"Content-Type": "application/json"}
    kind = chosen.random()
    if kind < 0.4:
        body = mutate_bytes(chosen, body, [json.dumps(item).encode() for item in documents])
    elif kind < 0.5:
        body = mutate_bytes(chosen, gzip.compress(body), [b"gzip"])
        headers["Content-Encoding"] = "gzip"
    elif kind < 0.6:
        path = mutate_bytes(chosen, path, list(PATHS))
        # The line itself has to stay one; `_garbage` is for the others.
        path = b"/" + bytes(letter for letter in path[1:] if 0x21 <= letter <= 0x7E)
    elif kind < 0.65:
        verb = chosen.choice(("PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "PATCH", "BREW"))
    try:
        connection.request(verb, path.decode("latin-1"), body, headers)
        with connection.getresponse() as answer:
            text, status = answer.read(), answer.status
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        findings.add(type(error).__name__, number, f"{verb} {path!r} {error!r}\n{body!r}")
        return
    findings.add(
        str(status), number, None if status in STATUSES else f"{verb} {path!r} {status} {text!r}\n{body!r}"
    )


def _garbage(rest: str, chosen: random.Random, number: int, findings: Findings) -> None:
    """Bytes that are hardly HTTP: an error status or a closed connection, and no later harm."""
    url = urlsplit(rest)
    request = (
        b'POST /v1/models/toy:predict HTTP/1.1\r\nHost: h\r\nContent-Length: 18\r\n\r\n{"instances": [1]}'
    )
    data = mutate_bytes(chosen, request, _ALL)
    with socket.create_connection((url.hostname, url.port), timeout=HANG_SECONDS) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(64)
        except ConnectionError:
            answer = b""
        except TimeoutError:
            findings.add("hang", number, f"no answer to {data!r}")
            return
    status = answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.") else "closed"
    bad = status != "closed" and (not status.isdigit() or int(status) not in STATUSES)
    findings.add(f"garbage {status}", number, f"{answer!r}\n{data!r}" if bad else None)
