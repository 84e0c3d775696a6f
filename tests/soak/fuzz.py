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
from urllib.parse import urlsplit

import grpc
from google.protobuf import text_format
from google.protobuf.message import Message
from tensorflow_serving.apis import model_management_pb2

from tests.soak.mutate import mutate_bytes, mutate_json, mutate_message
from tests.soak.seeds import (
    ALL,
    DOCUMENTS,
    INFER_BODIES,
    INFER_PAGES,
    INFER_PATHS,
    MODEL,
    PATHS,
    SEEDS,
    WEIGHTS,
)
from tests.support.conformance_model import CONFIG
from tests.support.open_inference import HEADER
from tests.support.server import RunningServer

HANG_SECONDS = 30
_RESETS = 10
_EMPTY = model_management_pb2.ReloadConfigRequest()
_EMPTY.config.model_config_list.SetInParent()
_NO_MODELS = _EMPTY.SerializeToString()
# What the Open Inference Protocol says while another thread's reload is under way.
_RELOADING = ("has no version that answers.", "is being loaded.")
OTHER_VERBS = ("PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "PATCH", "BREW")
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
        elif kind < 0.75:
            _rest(local.rest, chosen, number, findings)
        elif kind < 0.99:
            _infer(local.rest, chosen, number, findings)
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
    (path,) = chosen.choices(list(SEEDS), WEIGHTS)
    message = chosen.choice(SEEDS[path])
    if chosen.random() < 0.25:
        data = mutate_bytes(chosen, message.SerializeToString(), ALL)
    else:
        data = _mutated(chosen, message)
    code, text = _call(channel, path, data, HANG_SECONDS)
    # What is no message of the protocol at all is the library's to refuse.
    unreadable = code == grpc.StatusCode.INTERNAL and text == "Exception deserializing request!"
    reloading = code == grpc.StatusCode.UNAVAILABLE and text.endswith(_RELOADING)
    bad = code in (
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    )
    failure = f"{path} {code.name} {text}\n{data!r}" if bad and not unreadable and not reloading else None
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
    data = _mutated(chosen, good) if mutated else mutate_bytes(chosen, good.SerializeToString(), ALL)
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
        verb = chosen.choice(OTHER_VERBS)
    _request(connection, verb, path, body, headers, number, findings)


def _infer(
    connection: http.client.HTTPConnection, chosen: random.Random, number: int, findings: Findings
) -> None:
    """A mutated request of the Open Inference Protocol; the size of its JSON stays right, mostly."""
    body, headers = chosen.choice(INFER_BODIES)
    headers = dict(headers)
    binary = HEADER in headers
    size = int(headers.get(HEADER, len(body)))
    head, tail = body[:size], body[size:]
    verb, path = "POST", chosen.choice(INFER_PATHS)
    kind = chosen.random()
    if kind < 0.4:
        head = json.dumps(mutate_json(chosen, json.loads(head))).encode()
    elif kind < 0.6:
        head = mutate_bytes(chosen, head, [item for item, _ in INFER_BODIES])
    elif kind < 0.7:
        tail = mutate_bytes(chosen, tail, [item for item, _ in INFER_BODIES])
    elif kind < 0.8:
        path = chosen.choice((*INFER_PATHS, *INFER_PAGES))
        path = mutate_bytes(chosen, path, [*INFER_PATHS, *PATHS])
        path = b"/" + bytes(letter for letter in path[1:] if 0x21 <= letter <= 0x7E)
    elif kind < 0.85:
        verb = chosen.choice(("GET", *OTHER_VERBS))
    elif kind < 0.9:
        verb, path = "GET", chosen.choice(INFER_PAGES)
    if binary:
        sizes = (len(head), len(head), len(head), 0, -1, len(head) + 1, len(head) - 1, 2**63, "x", "")
        headers[HEADER] = str(chosen.choice(sizes) if kind >= 0.9 else len(head))
    body = head + tail
    if chosen.random() < 0.1:
        body = gzip.compress(body)
        body = mutate_bytes(chosen, body, [b"gzip"]) if chosen.random() < 0.3 else body
        headers["Content-Encoding"] = "gzip"
    _request(connection, verb, path, b"" if verb == "GET" else body, headers, number, findings)


def _request(
    connection: http.client.HTTPConnection,
    verb: str,
    path: bytes,
    body: bytes,
    headers: dict[str, str],
    number: int,
    findings: Findings,
) -> None:
    try:
        connection.request(verb, path.decode("latin-1"), body, headers)
        with connection.getresponse() as answer:
            text, status = answer.read(), answer.status
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        findings.add(type(error).__name__, number, f"{verb} {path!r} {error!r}\n{headers}\n{body!r}")
        return
    reloading = status == 503 and any(sentence.encode() in text for sentence in _RELOADING)
    known = status in STATUSES or reloading
    failure = None if known else f"{verb} {path!r} {status} {text!r}\n{headers}\n{body!r}"
    findings.add(f"v2 {status}" if path.startswith(b"/v2") else str(status), number, failure)


def _garbage(rest: str, chosen: random.Random, number: int, findings: Findings) -> None:
    """Bytes that are hardly HTTP: an error status or a closed connection, and no later harm."""
    url = urlsplit(rest)
    request = (
        b'POST /v1/models/toy:predict HTTP/1.1\r\nHost: h\r\nContent-Length: 18\r\n\r\n{"instances": [1]}'
    )
    data = mutate_bytes(chosen, request, ALL)
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
