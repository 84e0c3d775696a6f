"""A real gRPC server around `InMemoryServer`: sockets, TLS, tokens and faults without TensorFlow."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from atelier_client._targets import Target
from atelier_client.errors import ServerError
from atelier_client.testing import InMemoryServer
from atelier_client.transports.base import METHODS, Method


@dataclass
class SmallServer:
    """Its address, what it serves, and the metadata of each call."""

    address: str
    memory: InMemoryServer
    metadata: list[dict[str, str]] = field(default_factory=list)


@contextlib.contextmanager
def small_server(
    memory: InMemoryServer,
    address: str = "127.0.0.1:0",
    credentials: grpc.ServerCredentials | None = None,
    token: str | None = None,
) -> Iterator[SmallServer]:
    """Serve until the block ends; with `token`, calls without it are UNAUTHENTICATED."""
    running = SmallServer(address, memory)
    transport = memory.connect(Target(address, "grpc"))

    def handler(method: Method) -> grpc.RpcMethodHandler[Any, Any]:
        def handle(request: Any, context: grpc.ServicerContext) -> Any:
            sent = {key: str(value) for key, value in context.invocation_metadata()}
            running.metadata.append(sent)
            if token is not None and sent.get("authorization") != f"Bearer {token}":
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
            try:
                return transport.call(method, request, context.time_remaining() or 60)
            except ServerError as error:
                context.abort(grpc.StatusCode[error.code], error.details)

        return grpc.unary_unary_rpc_method_handler(
            handle, response_serializer=method.response.SerializeToString
        )

    class Handlers(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
            return next((handler(item) for item in METHODS if item.path == details.method), None)

    server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[Handlers()])
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    if address.endswith(":0"):
        running.address = address.removesuffix("0") + str(port)
    server.start()
    try:
        yield running
    finally:
        server.stop(0).wait()


@dataclass(frozen=True)
class Certificates:
    """PEM files of an authority, and of a server (localhost, 127.0.0.1) and a client it signed."""

    folder: Path

    def read(self, name: str) -> bytes:
        """The bytes of one of them."""
        return (self.folder / name).read_bytes()


def make_certificates(folder: Path) -> Certificates:
    """By the openssl command: ca.pem, server.pem, server.key, client.pem, client.key; other.pem, another authority."""

    def openssl(*arguments: object) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for name in ("ca", "other"):
        where = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"]
        openssl("req", "-x509", *curve, *where, "-days", 2, "-subj", f"/CN=test {name}")
    for name, names in (("server", "DNS:localhost,IP:127.0.0.1"), ("client", "DNS:client")):
        extensions = folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n")
        request = folder / f"{name}.csr"
        openssl("req", *curve, "-keyout", folder / f"{name}.key", "-out", request, "-subj", f"/CN={name}")
        authority = ["-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial"]
        out = ["-out", folder / f"{name}.pem", "-days", 2, "-extfile", extensions]
        openssl("x509", "-req", "-in", request, *authority, *out)
    return Certificates(folder)
