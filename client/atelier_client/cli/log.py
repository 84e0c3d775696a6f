"""`atelier-client log`: a request log as a table."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from atelier_client._printable import counted
from atelier_client.cli.options import add_command, say


def register(commands: Any) -> None:
    """Declare the command."""
    command = add_command(
        commands,
        "log",
        run,
        "a request log (of the server's --request_log_dir, or of a Recorder) as a table, a row for each example",
        "atelier-client log requests --to requests.parquet",
        "atelier-client log requests --to reviews.csv --model reviews",
        "atelier-client log requests --to requests.jsonl --json",
        server=False,
    )
    command.add_argument("folder", type=Path, metavar="DIR", help="the folder of the log")
    command.add_argument(
        "--to",
        type=Path,
        required=True,
        metavar="FILE",
        help="the table: .csv, .jsonl, or .parquet (needs the extra: pip install 'atelier-client[parquet]')",
    )


def run(options: argparse.Namespace) -> int:
    """Write the table. Raises `ClientError` and `OSError`."""
    from atelier_client.evaluation.progress import Progress
    from atelier_client.request_log.export import check_target, export
    from atelier_client.request_log.remarks import Remarks

    check_target(options.to)
    remarks = Remarks()
    try:
        with Progress(None, "Writing the log") as progress:
            requests, rows, columns = export(
                options.folder, options.model, options.to, remarks, progress.advance
            )
    finally:
        # Also when nothing could be read: this says why.
        for line in remarks.lines():
            say(line)
    if remarks.skipped:
        say(f"Left out: {counted(remarks.skipped, 'record')}. What could be read is in {options.to}.")
    say(
        f"{options.to}: {counted(rows, 'row')} of {counted(requests, 'request')}, {counted(len(columns), 'column')}."
    )
    if options.json:
        document = {
            "path": str(options.to),
            "requests": requests,
            "rows": rows,
            "columns": columns,
            "skipped": remarks.skipped,
            "clocks_set_back": remarks.set_back,
        }
        print(json.dumps(document))
    return 0
