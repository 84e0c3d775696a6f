"""Writes the dashboard's file."""

from deploy.observe.dashboard.board import FILE, build, text

FILE.write_text(text(build()), encoding="utf-8")
