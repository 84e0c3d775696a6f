"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """`warning` is something that works now and may not later."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """`check` is its short name, `text` what was found, `advice` what to do about it, empty when all is well."""

    check: str
    state: Severity
    text: str
    advice: str = ""


def ok(check: str, text: str) -> Finding:
    """Nothing wrong."""
    return Finding(check, Severity.OK, text)


def warning(check: str, text: str, advice: str) -> Finding:
    """It works now, but may not later."""
    return Finding(check, Severity.WARNING, text, advice)


def error(check: str, text: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(check, Severity.ERROR, text, advice)
