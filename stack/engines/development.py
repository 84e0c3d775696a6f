"""Environments beside `.venv` in which the tests run: another Python, the next TensorFlow.

The Makefile knows their folders by the same names.
"""

from __future__ import annotations

from pathlib import Path

from stack.engines import venv
from stack.engines.venv import Environment
from stack.settings import Settings


def ensure(settings: Settings) -> Path:
    """Make the environment that PYTHON and TENSORFLOW ask for; return its `bin`. Raises `StackError`.

    Beside one of the next TensorFlow there is the same with the present one: models are carried over between the two.
    """
    if settings.tensorflow:
        venv.install(settings.root, environment(settings.root, settings.python))
    return venv.install(settings.root, environment(settings.root, settings.python, settings.tensorflow))


def environment(root: Path, python: str = "", tensorflow: str = "") -> Environment:
    """The environment with the development tools: `.venv`, `.venv-py3.12`, `.venv-tf2.21`, `.venv-py3.12-tf2.21`."""
    name = ".venv" + (f"-py{python}" if python else "") + (f"-tf{tensorflow}" if tensorflow else "")
    locks = (
        (root / "tests" / f"tensorflow-{tensorflow}.lock",) if tensorflow else venv.locks(root, tests=True)
    )
    return Environment(root / name, locks, python)
