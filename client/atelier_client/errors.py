"""The client's errors, and the one place where a gRPC status becomes one of them.

ClientError
  +-- InputError           the inputs do not fit the served signature; nothing was sent (exit 2)
  |     +-- UnsupportedType      a dtype that has no safe form on the wire
  +-- DataError            a file of examples cannot be read or is not what it should be (exit 2)
  +-- ServerError          the server answered with an error; `code` is the gRPC status name
  |     +-- InvalidRequest       it found the request wrong (exit 2)
  |     +-- ModelNotFound        it has no such model, version or signature (exit 2)
  |     +-- TooLarge             a message or batch above a limit (exit 2)
  |     +-- Overloaded           it has no room now; later it may (exit 3)
  |     +-- ServerFailure        it failed in a way that is not the request's fault (exit 1)
  +-- NotReachable         no connection, or it broke (exit 3)
  +-- TimedOut             no answer within the deadline (exit 3)
"""

from __future__ import annotations

import grpc


class ClientError(Exception):
    """Base of everything this package raises on purpose; str() is a message for the user."""

    exit_code = 1


class InputError(ClientError):
    """Inputs that do not fit the served signature: what was expected, what came, what to do."""

    exit_code = 2


class UnsupportedType(InputError):
    """A dtype without a safe form on the wire."""


class DataError(ClientError):
    """A file of examples that cannot be read."""

    exit_code = 2


class ServerError(ClientError):
    """The server answered with an error. `code` is the status's name, `details` the server's own text."""

    def __init__(self, message: str, code: str = "", details: str = "") -> None:
        super().__init__(message)
        self.code, self.details = code, details


class InvalidRequest(ServerError):
    """INVALID_ARGUMENT, OUT_OF_RANGE, UNIMPLEMENTED: the request is at fault."""

    exit_code = 2


class ModelNotFound(ServerError):
    """NOT_FOUND, and FAILED_PRECONDITION for a missing signature."""

    exit_code = 2


class TooLarge(ServerError):
    """A message or a batch above a limit of the server or of this client."""

    exit_code = 2


class Overloaded(ServerError):
    """RESOURCE_EXHAUSTED or a full batching queue."""

    exit_code = 3


class ServerFailure(ServerError):
    """INTERNAL, UNKNOWN, DATA_LOSS and the like."""


class NotReachable(ServerError):
    """UNAVAILABLE or CANCELLED: no connection, or it broke."""

    exit_code = 3


class TimedOut(ServerError):
    """DEADLINE_EXCEEDED."""

    exit_code = 3


KINDS: dict[grpc.StatusCode, type[ServerError]] = {
    grpc.StatusCode.CANCELLED: NotReachable,
    grpc.StatusCode.UNKNOWN: ServerFailure,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimedOut,
    grpc.StatusCode.NOT_FOUND: ModelNotFound,
    grpc.StatusCode.ALREADY_EXISTS: ServerFailure,
    grpc.StatusCode.PERMISSION_DENIED: InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: InvalidRequest,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.FAILED_PRECONDITION: ServerFailure,
    grpc.StatusCode.ABORTED: ServerFailure,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.UNIMPLEMENTED: InvalidRequest,
    grpc.StatusCode.INTERNAL: ServerFailure,
    grpc.StatusCode.UNAVAILABLE: NotReachable,
    grpc.StatusCode.DATA_LOSS: ServerFailure,
    grpc.StatusCode.OK: ServerFailure,
}


# The batcher's text for a batch, gRPC's texts for a message.
_TOO_LARGE = ("larger than maximum input batch size", "message larger than max")


def from_status(code: grpc.StatusCode, details: str, target: str, timeout: float) -> ServerError:
    """The exception for a failed call to `target` (host:port) with a deadline of `timeout` seconds."""
    kind, message = KINDS[code], f"{target} answered {code.name}: {details or 'no details'}"
    if any(mark in details for mark in _TOO_LARGE):
        kind, message = TooLarge, f"{target}: {details}. Send fewer rows a request (rows_per_request)."
    elif code is grpc.StatusCode.FAILED_PRECONDITION and details.startswith("Serving signature key"):
        kind = ModelNotFound
    elif kind is NotReachable:
        message = (
            f"Cannot reach a model server at {target} ({details or code.name}). The usual causes: it is not started "
            "(`make up`), it listens on another port (--target HOST:PORT), or a firewall is in between."
        )
    elif kind is TimedOut:
        message = (
            f"{target} did not answer within {timeout:g} s. Raise the timeout, or look at the server's log."
        )
    return kind(message, code.name, details)
