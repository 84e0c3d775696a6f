"""Known vulnerabilities of the locked packages, looked up by pip-audit.

    python -m deploy.supply.audit            (`make audit`)

Exit codes: 0 every package was looked up and none is known to be vulnerable; 1 some are; 3 no service told about every
package, so nothing is known: that is not taken for good news.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.supply.locks import ROOT, locks, read

SECONDS = 15
LONGEST_REASON = 120
# The options of pip-audit that choose a service. The next one is asked when one does not know every package: a mirror
# of an index may have the packages, and nothing about their vulnerabilities.
SERVICES = (("--vulnerability-service=pypi",), ("--vulnerability-service=osv",))


@dataclass(frozen=True)
class Vulnerability:
    """One known vulnerability of a locked package, the releases without it, and the lock files that have it."""

    package: str
    version: str
    identifier: str
    fixed: tuple[str, ...]
    locks: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """How many packages were looked up, and what is known of them. `reason` is why not all were, else empty."""

    looked_up: int
    found: list[Vulnerability]
    reason: str = ""


def audit(files: Sequence[Path], services: Sequence[Sequence[str]] = SERVICES) -> Report:
    """Ask the services in turn until one tells about every package of the lock files.

    What one has told of is told, also when it did not know the rest.
    """
    reasons = []
    report = Report(0, [])
    for service in services:
        report = _ask(files, service)
        if report.found or not report.reason:
            return report
        reasons.append(report.reason)
    return Report(report.looked_up, [], " ".join(dict.fromkeys(reasons)))


def _ask(files: Sequence[Path], service: Sequence[str]) -> Report:
    packages: list[dict[str, Any]] = []
    # pip-audit takes no two versions of a package at once, and the next TensorFlow's lock file has some of its own.
    following = [lock for lock in files if lock.name.startswith("tensorflow-")]
    for group in ([lock for lock in files if lock not in following], following):
        if not group:
            continue
        command = [
            *(sys.executable, "-m", "pip_audit", "--disable-pip", "--progress-spinner=off", "--format=json"),
            *(f"--timeout={SECONDS}", *service),
            *(word for lock in group for word in ("--requirement", str(lock))),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            packages += json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError, TypeError):
            said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
            return Report(0, [], f"pip-audit got no answer ({said[-1][:LONGEST_REASON]}).")
    return report_of(packages, files)


def report_of(packages: Sequence[dict[str, Any]], files: Sequence[Path]) -> Report:
    """The report of pip-audit's document: of each package its vulnerabilities, or why it was passed over."""
    holders: dict[tuple[str, str], list[str]] = {}
    for lock in files:
        for pin in read(lock):
            name = str(lock.relative_to(ROOT)) if lock.is_relative_to(ROOT) else str(lock)
            holders.setdefault((pin.name, pin.version), []).append(name)
    found = {
        Vulnerability(
            package["name"],
            package["version"],
            entry["id"],
            tuple(entry["fix_versions"]),
            tuple(sorted(set(holders.get((package["name"], package["version"]), ())))),
        )
        for package in packages
        for entry in package.get("vulns", ())
    }
    skipped = sorted({package["name"] for package in packages if "skip_reason" in package})
    looked_up = len({(package["name"], package["version"]) for package in packages if "vulns" in package})
    reason = (
        f"The service does not know {len(skipped)} packages ({', '.join(skipped[:3])}, ..)."
        if skipped
        else ""
    )
    return Report(
        looked_up, sorted(found, key=lambda item: (item.package, item.version, item.identifier)), reason
    )


def tell(report: Report) -> int:
    """Print the report; return the exit code."""
    for item in report.found:
        cure = f"mended in {', '.join(item.fixed)}" if item.fixed else "not mended yet"
        print(f"{item.package} {item.version}: {item.identifier}, {cure} ({', '.join(item.locks)})")
    if report.found:
        print(
            f"{len(report.found)} known vulnerabilities: `make lock` takes newer releases.", file=sys.stderr
        )
        return 1
    if report.reason:
        print(
            f"error: nothing is known of the locked packages, because no service could be asked about all of them: "
            f"{report.reason} Try again from a machine that reaches one.",
            file=sys.stderr,
        )
        return 3
    print(f"No vulnerability is known of {report.looked_up} locked packages.")
    return 0


def main() -> int:
    """Look up all lock files."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.supply.audit", description=__doc__.partition("\n")[0]
    )
    parser.parse_args()
    try:
        return tell(audit(locks()))
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
