"""What can be wrong with a question to the console, each with its HTTP status."""

from __future__ import annotations

from atelier_client.errors import ClientError, DataError, InputError, ModelNotFound, ServerError, TooLarge


class Problem(Exception):
    """Something that the person who asks can mend; str() is a sentence for them."""

    status = 400


class NotFound(Problem):
    """There is no such model, example, page or file."""

    status = 404


class TooMuch(Problem):
    """More bytes than the console takes."""

    status = 413


def status_of(error: Exception) -> int:
    """The HTTP status of an error: 4xx for what the asking person can mend, 502 when the model server failed."""
    if isinstance(error, Problem):
        return error.status
    if isinstance(error, ModelNotFound):
        return 404
    if isinstance(error, TooLarge):
        return 413
    if isinstance(error, ServerError):
        return 400 if error.exit_code == 2 else 502
    if isinstance(error, (InputError, DataError, ClientError)):
        return 400
    return 500
