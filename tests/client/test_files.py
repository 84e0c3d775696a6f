"""Reports are written in one step, and what killed writers left goes with the next report."""

import os
import time
from pathlib import Path

import pytest
from atelier_client._files import ABANDONED_SECONDS, write_text


def test_halves_of_killed_writers_go_and_those_of_live_ones_stay(tmp_path: Path) -> None:
    names = [f".report.json.{sign * 32}" for sign in "abc"] + [
        ".report.json.notes",
        ".other.json." + "a" * 32,
    ]
    for name in names:
        (tmp_path / name).write_text("half")
        os.utime(tmp_path / name, (0, time.time() - 2 * ABANDONED_SECONDS))
    os.utime(tmp_path / names[2])
    write_text("{}", tmp_path / "report.json")
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", *names[2:]}


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo"])
def test_what_stands_in_a_reports_place_is_replaced_and_not_followed(tmp_path: Path, kind: str) -> None:
    (tmp_path / "precious").write_text("kept")
    path = tmp_path / "report.json"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / ("precious" if kind == "link" else "nowhere"))
    write_text("{}", path)
    assert path.read_text() == "{}"
    assert not path.is_symlink()
    assert (tmp_path / "precious").read_text() == "kept"
    assert not (tmp_path / "nowhere").exists()
