"""Whether a version is signed with a key: an OpenSSF model signature in a file beside the version's folder.

The signature (https://github.com/sigstore/model-transparency, with a key of an elliptic curve) lists every file of
the version with its SHA-256, the model card too. It lies outside, because a version is never changed after it was
published; servers pass over a file whose name is no number. Needs the package model-signing: an extra to install.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from atelier_client._files import read_bytes, require_file
from atelier_client.errors import DataError, SettingsError
from atelier_client.release.replicas import Failed


def signature_path(version: Path) -> Path:
    """Where the signature of a version lies: `3.sig` beside the folder `3`."""
    return version.with_name(f"{version.name}.sig")


class PublicKey:
    """A public key that versions have to be signed with.

    Raises `SettingsError` without the extra, and for a file that is no PEM of a public key on P-256, P-384 or P-521.
    """

    def __init__(self, path: Path) -> None:
        try:
            from model_signing import verifying
        except ImportError:
            raise SettingsError(
                "--require-signature needs the package model-signing, which is not installed: "
                "pip install 'atelier-client[signing]'."
            ) from None
        self._path = path
        try:
            require_file(path)
            config: Any = verifying.Config  # its constructor has no types
            self._config = config().use_elliptic_key_verifier(public_key=path)
        except OSError as error:
            raise SettingsError(f"--require-signature {path} cannot be read: {error.strerror}.") from None
        except DataError as error:
            raise SettingsError(f"--require-signature: {error}") from None
        except Exception:  # of cryptography: one for each thing that a file may hold instead
            raise SettingsError(
                f"--require-signature {path}: expected a public key in PEM, on the curve P-256, P-384 or P-521 "
                "(openssl ec -in KEY -pubout)."
            ) from None

    def check(self, version: Path) -> None:
        """Raises `Failed` unless every file of the version, and nothing else, is signed with this key."""
        from cryptography.exceptions import InvalidSignature

        path = signature_path(version)
        if not path.exists():
            raise Failed(
                f"{version} is not signed: {path} does not exist. docs/releases.md says how to sign a version."
            )
        try:
            require_file(path)
            # A warning about an old format is printed to stdout, which is --json's.
            with contextlib.redirect_stdout(sys.stderr):
                self._config.verify(version, path)
            unsigned = _files(version) - _signed(path)
        except InvalidSignature:
            raise self._refused(path, "the signature is not of its text") from None
        # A file of anything at all may have the name, and model-signing reads it without checks.
        except Exception as error:
            raise self._refused(path, _words(error)) from None
        if unsigned:
            raise self._refused(path, f"{min(unsigned)} was left out when it was signed")

    def _refused(self, path: Path, why: str) -> Failed:
        return Failed(f"{path} is no signature of this version with the key {self._path}: {why}.")


def _files(version: Path) -> set[str]:
    return {path.relative_to(version).as_posix() for path in version.rglob("*") if not path.is_dir()}


def _signed(path: Path) -> set[str]:
    """The files that a signature lists. A signer may leave some out (`--ignore-paths`), and the verifier does too."""
    statement: Any = json.loads(base64.b64decode(json.loads(read_bytes(path))["dsseEnvelope"]["payload"]))
    return {str(file["name"]) for file in statement["predicate"]["resources"]}


def _words(error: Exception) -> str:
    """An error of model-signing in one line: what is wrong with which file, or that it is no signature at all."""
    # Its own errors are ValueErrors; those of the JSON, Base64 and models below are other kinds of them.
    if type(error) is ValueError or isinstance(error, OSError | DataError):
        return " ".join(str(error).split()).rstrip(". ")
    return f"it is not what model-signing writes ({type(error).__name__})"
