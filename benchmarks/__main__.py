"""`make bench`: measure the parts named, or all, against their peers, and write docs/benchmarks.md.

python -m benchmarks [trainer] [serving] [client] [releases] [drift] [scale]
"""

from __future__ import annotations

import importlib
import sys

from benchmarks.page import write_section

PARTS = ("trainer", "serving", "client", "releases", "drift", "scale")


def main(wanted: list[str]) -> int:
    """Run; return 1 when a target was missed, after writing what was measured, and 2 for an unknown part."""
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        print(f"No part {unknown[0]!r} of the benchmarks: expected {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    met = True
    for part in wanted or PARTS:
        module, rows = importlib.import_module(f"benchmarks.{part}"), []
        for row in module.measure():
            print(f"{part}: {row.what}: {row.measured} (target: {row.target})", file=sys.stderr, flush=True)
            rows.append(row)
            met = met and row.met is not False
        print(write_section(part, rows, module.NOTE))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
