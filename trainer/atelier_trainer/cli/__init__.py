"""The command line: `atelier-trainer` and its commands."""

from atelier_trainer.cli.app import main

__all__ = ["main"]
