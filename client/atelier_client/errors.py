"""The client's errors, and the one place where a gRPC status becomes one of them.

ClientError
  +-- InputError           the inputs do not fit the served signature; the client sent nothing (exit 2)
  |     +-- UnsupportedType      a dtype that has no safe form on the wire
  +-- SettingsError        the client's own settings are wrong: a target, a deadline, a certificate (exit 2)
  +-- DataError            a file of examples cannot be read or is not what it should be (exit 2)
  +-- ServerError          a call failed; `code` is the gRPC status name
        +-- InvalidRequest       the server says that the request is wrong (exit 2)
        |     +-- NotSupported         the server does not have this call
        |     +-- NotAllowed           the server refuses the caller (token, certificate)
        +-- ModelNotFound        the server has no such model, version or signature (exit 2)
        +-- TooLarge             a message or batch above a limit (exit 2)
        +-- Overloaded           the server has no capacity at the moment (exit 3)
        +-- ServerFailure        the server failed, and the request is not the cause (exit 1)
        +-- NotReachable         there is no connection, or it broke (exit 3)
        +-- TimedOut             no response within the deadline (exit 3)
"""

from __future__ import annotations

import grpc

from atelier_client._printable import printable

__all__ = [
    "ClientError",
    "DataError",
    "InputError",
    "InvalidRequest",
    "ModelNotFound",
    "NotAllowed",
    "NotReachable",
    "NotSupported",
    "Overloaded",
    "ServerError",
    "ServerFailure",
    "SettingsError",
    "TimedOut",
    "TooLarge",
    "UnsupportedType",
]


class ClientError(Exception):
    """The base class of all errors that this package raises on purpose. str() gives a message for the user."""

    exit_code = 1


class InputError(ClientError):
    """The inputs do not fit the served signature. The message says what was expected, what came, and what to do."""

    exit_code = 2


class UnsupportedType(InputError):
    """A dtype without a safe form on the wire."""


class SettingsError(ClientError):
    """The client cannot work with these settings: a target, a deadline, a certificate or a token is wrong."""

    exit_code = 2


class DataError(ClientError):
    """A file of examples cannot be read, or its content is wrong."""

    exit_code = 2


class ServerError(ClientError):
    """A call that failed.

    `code` is the status's name, `details` the server's own text, `attempts` how often the request was sent.
    """

    def __init__(self, message: str, code: str = "", details: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.details = details
        self.attempts = 1

    def __str__(self) -> str:
        return super().__str__() + (f" ({self.attempts} attempts)" if self.attempts > 1 else "")


class InvalidRequest(ServerError):
    """INVALID_ARGUMENT, OUT_OF_RANGE: the request is wrong."""

    exit_code = 2


class NotSupported(InvalidRequest):
    """UNIMPLEMENTED: the server does not have this call."""


class NotAllowed(InvalidRequest):
    """UNAUTHENTICATED, PERMISSION_DENIED: the server wants a token or a certificate that it did not get."""


class ModelNotFound(ServerError):
    """NOT_FOUND; also FAILED_PRECONDITION when the signature is missing."""

    exit_code = 2


class TooLarge(ServerError):
    """A message or a batch above a limit of the server or of this client."""

    exit_code = 2


class Overloaded(ServerError):
    """RESOURCE_EXHAUSTED, or a full batching queue (which TensorFlow Serving reports as UNAVAILABLE)."""

    exit_code = 3


class ServerFailure(ServerError):
    """INTERNAL, UNKNOWN, DATA_LOSS and the like."""


class NotReachable(ServerError):
    """UNAVAILABLE or CANCELLED: there is no connection, or it broke."""

    exit_code = 3


class TimedOut(ServerError):
    """DEADLINE_EXCEEDED."""

    exit_code = 3


KINDS: dict[grpc.StatusCode, type[ServerError]] = {
    grpc.StatusCode.OK: ServerFailure,
    grpc.StatusCode.CANCELLED: NotReachable,
    grpc.StatusCode.UNKNOWN: ServerFailure,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimedOut,
    grpc.StatusCode.NOT_FOUND: ModelNotFound,
    grpc.StatusCode.ALREADY_EXISTS: ServerFailure,
    grpc.StatusCode.PERMISSION_DENIED: NotAllowed,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.FAILED_PRECONDITION: ServerFailure,
    grpc.StatusCode.ABORTED: ServerFailure,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.UNIMPLEMENTED: NotSupported,
    grpc.StatusCode.INTERNAL: ServerFailure,
    grpc.StatusCode.UNAVAILABLE: NotReachable,
    grpc.StatusCode.DATA_LOSS: ServerFailure,
    grpc.StatusCode.UNAUTHENTICATED: NotAllowed,
}


# What a REST transport says of an answer in HTTP/2.
SPEAKS_GRPC = "it answers in HTTP/2"
# What gRPC says of a server that answers in HTTP/1, without TLS and with it.
_REST_PORT = ("Trying to connect an http1.x server", "missing selected ALPN property")
# What the batcher says of a batch, and gRPC of a message.
_TOO_LARGE = (
    "larger than maximum input batch size",
    "message larger than max",
    # Triton's, of a request above max_batch_size.
    "inference request batch-size must be",
)
_QUEUE_FULL = "The batch scheduling queue"
_NO_SIGNATURE = ("Serving signature key", "Serving signature name", "No signature was found")
# What gRPC says of a service that a server does not have, in Python and in Go; C++ says nothing.
_NO_SERVICE = ("Method not found", "unknown service")
_NEVER_SENT = (
    "failed to connect to all addresses",
    "connections to all backends failing",
    "DNS resolution failed",
    "Name resolution failure",
)
_TLS = (
    "handshake",
    "Hostname Verification",
    "CERTIFICATE_VERIFY_FAILED",
    "WRONG_VERSION_NUMBER",
    "certificate",
)


def from_status(code: grpc.StatusCode, details: str, target: str, timeout: float) -> ServerError:
    """The exception for a failed call to `target` (host:port) with a deadline of `timeout` seconds."""
    details = printable(details)
    kind = KINDS[code]
    message = f"{target} answered {code.name}: {details or 'no details'}"
    v2 = "v2+" if target.startswith("v2+") else ""
    if any(mark in details for mark in _TOO_LARGE):
        kind = TooLarge
        message = f"{target}: {details}. Send fewer rows a request (rows_per_request)."
    elif _QUEUE_FULL in details:
        kind = Overloaded
    elif details.startswith(_NO_SIGNATURE):
        kind = ModelNotFound
    elif any(mark in details for mark in _REST_PORT):
        message = (
            f"{target} speaks HTTP/1, not gRPC: it is the REST port, or another server. Give the gRPC port "
            f"(TensorFlow Serving: 8500), or ask over REST (--target {v2}http://HOST:PORT)."
        )
    elif details == SPEAKS_GRPC:
        without = (
            "with grpc:// (--target v2+grpc://HOST:PORT)" if v2 else "without http:// (--target HOST:PORT)"
        )
        message = f"{target} is a gRPC port: {details}. Give it {without}."
    elif kind is NotReachable and any(mark in details for mark in _TLS):
        message = (
            f"No TLS connection to {target}: {details}. The usual causes: its certificate is signed by another "
            "authority (--ca FILE), is for another name (--server-name NAME), the server wants a certificate of the "
            "client (--cert, --key), or it does not speak TLS."
        )
    elif kind is NotReachable:
        port = "this port is that of gRPC" if target.startswith(f"{v2}http") else "it listens on another port"
        message = (
            f"Cannot reach a model server at {target} ({details or code.name}). The usual causes: it is not started "
            f"(`make up`), {port} (--target HOST:PORT), it wants TLS (--tls) or also a certificate of the client "
            "(--cert, --key), or a firewall is in between."
        )
    elif kind is TimedOut:
        message = (
            f"{target} did not answer within {timeout:.3g} s. Raise the timeout, or look at the server's log."
        )
    elif kind is NotAllowed:
        message += ". Give the token (ATELIER_TOKEN) or the client certificate (--cert, --key) it asks for."
    elif kind is NotSupported and (not details or any(mark in details for mark in _NO_SERVICE)):
        message += ". Whether it speaks another protocol, `atelier-client doctor` tells (--target)."
    return kind(message, code.name, details)


def never_sent(error: ServerError) -> bool:
    """True when the call failed before it was sent, because there was no connection (told by gRPC's texts)."""
    return error.code == "UNAVAILABLE" and any(mark in error.details for mark in _NEVER_SENT)
