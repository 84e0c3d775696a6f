"""A finding: the result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is. A `WARNING` works now, but may fail later."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """`check` is the check's short name, `text` its result, `advice` what to do; empty when nothing is wrong."""

    check: str
    state: Severity
    text: str
    advice: str = ""


def ok(check: str, text: str) -> Finding:
    """A finding without a problem."""
    return Finding(check, Severity.OK, text)


def warning(check: str, text: str, advice: str) -> Finding:
    """A finding that works now, but may fail later."""
    return Finding(check, Severity.WARNING, text, advice)


def error(check: str, text: str, advice: str) -> Finding:
    """A finding that does not work."""
    return Finding(check, Severity.ERROR, text, advice)
