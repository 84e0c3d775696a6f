"""The command `history`."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from atelier_client.cli.options import add_command, add_folder, choose_model, say
from atelier_client.errors import InputError

if TYPE_CHECKING:
    from atelier_client.release.timeline import Period


def register(commands: Any) -> None:
    """Declare the command."""
    command = add_command(
        commands,
        "history",
        _history,
        "which version was stable when, for how long, and why it changed",
        "atelier-client history",
        "atelier-client history --at 2026-11-24T12:00",
        "atelier-client history --json",
        version=False,
        server=False,
    )
    command.add_argument(
        "--at",
        metavar="TIME",
        help="only what was stable then, as 2026-11-24T12:00 (local time) or with +00:00",
    )
    add_folder(command, "models", "the model repository")


def _history(options: argparse.Namespace) -> int:
    from atelier_client.release.record import Record
    from atelier_client.release.repository import Repository
    from atelier_client.release.timeline import at, periods

    choose_model(options)
    entries = Record(options.models).entries(options.model)
    moment = None if options.at is None else _moment(options.at)
    if moment is not None:
        found = at(entries, moment)
        if found is None:
            raise InputError(
                f"No version of {options.model} was stable at {options.at}, as far as the record goes."
            )
        chosen = [found]
    else:
        chosen = periods(entries)
    if options.json:
        print(json.dumps([_document(period) for period in chosen]))
    elif not chosen:
        say(f"Nothing was released yet of {options.model} ({options.models / 'rollouts.jsonl'}).")
    else:
        from atelier_client.cli.tables import print_history

        print_history(options.model, chosen)
    stable = Repository(options.models, options.model).served().stable
    if moment is None and stable is not None and (not chosen or chosen[-1].version != stable):
        say(
            f"warning: models.config says that version {stable} is stable, and the record does not: it was changed by "
            "hand, or a command was killed. The next release or rollback writes it down."
        )
    return 0


def _moment(text: str) -> datetime:
    try:
        # Without a zone it is this machine's time.
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InputError(
            f"--at {text}: expected a time as 2026-11-24T12:00 or 2026-11-24T12:00+00:00."
        ) from None
    if moment > datetime.now(UTC):
        raise InputError(
            f"--at {text}: that is still to come; what is stable now may be another version then."
        )
    return moment


def _document(period: Period) -> dict[str, Any]:
    entry = period.entry
    return {
        "version": period.version,
        "from": period.begin.isoformat(),
        "until": period.end.isoformat() if period.end else None,
        "seconds": period.seconds(datetime.now(UTC)),
        "event": entry.event,
        "before": entry.from_version,
        "verdict": entry.verdict,
        "reason": entry.reason,
        "who": entry.who,
    }
