"""The error of requests and loads: a gRPC code with TensorFlow Serving's own text."""

from __future__ import annotations

from enum import IntEnum

# gRPC messages are cut at this length, REST messages are not (model_servers/grpc_status_util.cc).
MESSAGE_LIMIT = 1024
TRUNCATED = "...TRUNCATED"


class Code(IntEnum):
    """Canonical status codes (google/rpc/code.proto)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class ServingError(Exception):
    """A request or a load failed. The client gets `code` and `message` unchanged."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


def invalid(message: str) -> ServingError:
    """An INVALID_ARGUMENT error, the most frequent kind."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def truncated(message: str) -> str:
    """The message for gRPC: at most 1024 characters, then a mark that says it was cut."""
    return message if len(message) <= MESSAGE_LIMIT else message[:MESSAGE_LIMIT] + TRUNCATED


def of_exception(error: Exception) -> ServingError:
    """The error for any exception of a request or a load. TensorFlow's errors keep their own code."""
    if isinstance(error, ServingError):
        return error
    code = getattr(error, "error_code", None)
    message = getattr(error, "message", None)
    if isinstance(code, int) and isinstance(message, str):
        return ServingError(Code(code), message)
    if isinstance(error, OSError):
        missing = isinstance(error, FileNotFoundError)
        return ServingError(Code.NOT_FOUND if missing else Code.INTERNAL, str(error))
    return ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}")
