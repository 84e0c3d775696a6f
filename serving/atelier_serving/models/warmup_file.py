"""The warm-up file of a version: its place, and how many records it may have (docs/contracts.md)."""

from __future__ import annotations

from pathlib import Path

WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
# servables/tensorflow/saved_model_warmup_util.h
MAX_RECORDS = 1000
