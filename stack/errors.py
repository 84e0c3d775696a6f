"""The errors of the stack: each is one message for the user, and an exit code.

StackError
  +-- UsageError        a setting on the command line is wrong (exit 2)
  +-- NotRunning        the command needs a running service (exit 3)
  +-- Unavailable       an engine, an image or a tool this machine lacks (exit 1)
  +-- StepFailed        a step ran and failed (exit of the step, else 1)
"""

from __future__ import annotations


class StackError(Exception):
    """Base of all errors shown to the user without a stack trace."""

    exit_code = 1


class UsageError(StackError):
    """A setting is wrong; the message names it and the values it takes."""

    exit_code = 2


class NotRunning(StackError):
    """The command needs the service up."""

    exit_code = 3


class Unavailable(StackError):
    """This machine lacks something the chosen engine needs."""


class StepFailed(StackError):
    """A step of the loop ended with an error."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
