"""The one error of the request path: a gRPC code and TensorFlow Serving's own text."""

from __future__ import annotations

from enum import IntEnum

# model_servers/grpc_status_util.cc: longer messages are cut for gRPC, not for REST.
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
    """A request or a load failed; `code` and `message` go to the client as they are."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


def invalid(message: str) -> ServingError:
    """The most frequent kind: INVALID_ARGUMENT."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def truncated(message: str) -> str:
    """The message as gRPC carries it: at most 1024 characters, then the mark that it was cut."""
    return message if len(message) <= MESSAGE_LIMIT else message[:MESSAGE_LIMIT] + TRUNCATED


def of_exception(error: Exception) -> ServingError:
    """The status of any exception of the request or load path; TensorFlow's errors carry their own code."""
    if isinstance(error, ServingError):
        return error
    code, message = getattr(error, "error_code", None), getattr(error, "message", None)
    if isinstance(code, int) and isinstance(message, str):
        return ServingError(Code(code), message)
    if isinstance(error, OSError):
        missing = isinstance(error, FileNotFoundError)
        return ServingError(Code.NOT_FOUND if missing else Code.INTERNAL, str(error))
    return ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}")
