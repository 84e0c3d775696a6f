"""The Python base image where no registry is reachable: Debian's packages, unpacked by debootstrap.

The tools' own defaults say where the packages are. The host's CA bundle is copied into the image, so that pip in a
container trusts the certificates that the host trusts.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from stack.console import note, run_logged
from stack.engines.docker import has_image
from stack.errors import StepFailed, Unavailable

IMAGE = "atelier-base:bookworm"
SUITE = "bookworm"
_PACKAGES = "python3,python3-venv,ca-certificates"
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def why_not() -> str | None:
    """The one reason why this machine cannot build the base image, or None."""
    if platform.system() != "Linux":
        return "building the base image from Debian packages needs Linux"
    if os.geteuid():
        return (
            "building the base image from Debian packages needs root (debootstrap makes a root file system)"
        )
    if shutil.which("debootstrap") is None and shutil.which("apt-get") is None:
        return "neither debootstrap nor apt-get was found"
    return None


def build(work: Path, logs: Path) -> str:
    """Build the image unless the engine has it; return its name. Needs root and about 300 MB under `work`."""
    if has_image(IMAGE):
        return IMAGE
    if reason := why_not():
        raise Unavailable(reason)
    work.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=work, prefix="base-") as folder,
        tempfile.TemporaryDirectory(prefix="atelier-base-") as elsewhere,
    ):
        rootfs = Path(folder) / "rootfs"
        rootfs.mkdir()
        # debootstrap splits its target at spaces, and a checkout may lie in a folder whose name has some.
        target = Path(elsewhere) / "rootfs"
        target.symlink_to(rootfs.resolve())
        command, environment = _debootstrap(Path(folder), logs)
        command += ["--variant=minbase", f"--include={_PACKAGES}", SUITE, str(target)]
        run_logged(
            command, "Building the base image from Debian packages", logs / "debootstrap.log", environment
        )
        _copy_ca_bundle(rootfs)
        shutil.rmtree(rootfs / "var/cache/apt/archives", ignore_errors=True)
        _import(rootfs)
    return IMAGE


def _debootstrap(folder: Path, logs: Path) -> tuple[list[str], dict[str, str]]:
    """The debootstrap command: the host's, or one unpacked from its package without installing it."""
    if shutil.which("debootstrap"):
        return ["debootstrap"], dict(os.environ)
    note("debootstrap is not installed: unpacking its package for this build only.")
    tools = folder / "tools"
    script = (
        'cd "$1" && (apt-get download debootstrap || (apt-get update && apt-get download debootstrap))'
        ' && dpkg-deb -x debootstrap_*.deb "$2"'
    )
    run_logged(
        ["sh", "-c", script, "sh", str(folder), str(tools)],
        "Fetching debootstrap",
        logs / "debootstrap-fetch.log",
    )
    environment = {**os.environ, "DEBOOTSTRAP_DIR": str(tools / "usr/share/debootstrap")}
    return ["sh", str(tools / "usr/sbin/debootstrap")], environment


def _copy_ca_bundle(rootfs: Path) -> None:
    bundle = next((path for path in _BUNDLES if os.path.exists(path)), None)
    if bundle:
        shutil.copyfile(bundle, rootfs / "etc/ssl/certs/ca-certificates.crt")


def _import(rootfs: Path) -> None:
    """Give the root file system to the engine as one layer. PIP_CERT makes pip use the CA bundle in it."""
    pack = subprocess.Popen(["tar", "-C", str(rootfs), "-c", "."], stdout=subprocess.PIPE)
    load = subprocess.run(
        ["docker", "import", "-c", "ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt", "-", IMAGE],
        stdin=pack.stdout,
        capture_output=True,
        text=True,
        check=False,
    )
    if pack.wait() or load.returncode:
        raise StepFailed(f"The engine did not take the base image: {load.stderr.strip()}")
