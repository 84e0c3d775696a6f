"""`python3 -m stack COMMAND`: what the Makefile's targets run.

All other modules need Python 3.11. This file keeps to an older syntax, so that older Pythons can read it: it starts a
newer Python if it finds one, and else says in one sentence what is missing.
"""

import os
import shutil
import sys

OLDEST = (3, 11)
NEWER = ("python3.13", "python3.12", "python3.11")


def hand_over():
    # type: () -> None
    """Start again with the newest suitable Python; without one, end with a message and exit status 1."""
    for name in NEWER:
        path = shutil.which(name)
        if path and runs(path):
            os.execv(path, [path, "-m", "stack"] + sys.argv[1:])  # noqa: RUF005 -- older syntax
    sys.stderr.write(
        "error: this is Python "
        + ".".join(str(part) for part in sys.version_info[:3])
        + ", and the stack needs Python 3.11 to 3.13 (tried: "
        + ", ".join(NEWER)
        + "). On Debian and Ubuntu: apt-get install python3-venv; or put a newer python3 first on PATH.\n"
    )
    sys.exit(1)


def runs(path):
    # type: (str) -> bool
    """True when this Python starts. A version manager's placeholder for a Python that is not installed does not."""
    with open(os.devnull, "w") as sink:
        import subprocess

        return subprocess.call([path, "-c", ""], stdout=sink, stderr=sink) == 0


if __name__ == "__main__":
    if sys.version_info[:2] < OLDEST:
        hand_over()
    else:
        from stack.cli import main

        sys.exit(main())
