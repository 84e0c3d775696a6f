"""`release --require-signature`: only what is signed with the key becomes stable. The keys and signatures are real."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from atelier_client.errors import SettingsError
from atelier_client.release.replicas import Failed
from atelier_client.release.signature import PublicKey, signature_path
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from model_signing import hashing, signing

from tests.support.releases import Releases, releases

ROOT = Path(__file__).resolve().parents[2]
# Their constructors have no types.
Hashing: Any = hashing.Config
Signing: Any = signing.Config


def write_keys(folder: Path, name: str, curve: ec.EllipticCurve | None = None) -> tuple[Path, Path]:
    """A pair of keys: the files of the private and the public one."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


def sign(version: Path, private: Path, ignored: tuple[Path, ...] = ()) -> None:
    """Sign a version."""
    files, signer = Hashing().set_ignored_paths(paths=ignored), Signing()
    signer.use_elliptic_key_signer(private_key=private).set_hashing_config(files)
    signer.sign(version, signature_path(version))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_keys(tmp_path_factory.mktemp("keys"), "ours")


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, Path]) -> Path:
    """A version of three files, signed."""
    version = tmp_path_factory.mktemp("models") / "fashion" / "3"
    for name in ("saved_model.pb", "variables/variables.index", "assets.extra/model_card.json"):
        (version / name).parent.mkdir(parents=True, exist_ok=True)
        (version / name).write_text(name)
    sign(version, keys[0])
    return version


@pytest.fixture
def version(signed: Path, tmp_path: Path) -> Path:
    """A copy of it with its signature."""
    shutil.copytree(signed.parent, tmp_path / "fashion")
    return tmp_path / "fashion" / "3"


def test_the_documented_commands_sign_a_version(version: Path, tmp_path: Path) -> None:
    """The block of docs/releases.md, as it stands."""
    text = (ROOT / "docs" / "releases.md").read_text(encoding="utf-8")
    block = text[text.index("    openssl ecparam") :].split("\n\n")[0]
    lines = [line.strip() for line in block.splitlines()]
    signature_path(version).unlink()
    shutil.copytree(version.parent, tmp_path / "models" / "fashion")
    environ = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for line in lines:
        if not line.startswith("atelier-client"):
            subprocess.run(line, shell=True, cwd=tmp_path, env=environ, timeout=60, check=True)
    PublicKey(tmp_path / "release.pub").check(tmp_path / "models" / "fashion" / "3")


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_a_signed_version_passes(version: Path, tmp_path: Path, curve: ec.EllipticCurve) -> None:
    private, public = write_keys(tmp_path, "key", curve)
    sign(version, private)
    PublicKey(public).check(version)


def _change(version: Path) -> None:
    (version / "assets.extra" / "model_card.json").write_text("other")


def _remove(version: Path) -> None:
    (version / "saved_model.pb").unlink()


def _add(version: Path) -> None:
    (version / "assets.extra" / "more.so").write_text("x")


def _link(version: Path) -> None:
    (version / "variables" / "link").symlink_to("/etc/hostname")


def _unsign(version: Path) -> None:
    signature_path(version).unlink()


def _empty(version: Path) -> None:
    signature_path(version).write_text("")


def _folder(version: Path) -> None:
    _unsign(version)
    signature_path(version).mkdir()


def _edit_text(version: Path) -> None:
    """The files and the list agree; nobody with the key has signed that list."""
    import base64

    path = signature_path(version)
    bundle = json.loads(path.read_text())
    statement = base64.b64decode(bundle["dsseEnvelope"]["payload"]).replace(b'"name": "3"', b'"name": "4"')
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(statement).decode()
    path.write_text(json.dumps(bundle))


def _no_signatures(version: Path) -> None:
    path = signature_path(version)
    bundle = json.loads(path.read_text())
    bundle["dsseEnvelope"]["signatures"] = []
    path.write_text(json.dumps(bundle))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_change, r"assets\.extra/model_card\.json"),
        (_remove, r"Missing files.*saved_model\.pb"),
        (_add, r"Extra files.*assets\.extra/more\.so"),
        (_link, r"variables/link"),
        (_unsign, r"is not signed: .*3\.sig does not exist"),
        (_empty, r"3\.sig is no signature.*not what model-signing writes"),
        (_folder, r"3\.sig is no file"),
        (_edit_text, r"3\.sig is no signature.*not of its text"),
        (_no_signatures, r"3\.sig is no signature"),
    ],
)
def test_what_is_not_signed_is_named(
    version: Path, keys: tuple[Path, Path], spoil: Callable[[Path], None], message: str
) -> None:
    spoil(version)
    with pytest.raises(Failed, match=message):
        PublicKey(keys[1]).check(version)


def test_another_key_is_named(version: Path, tmp_path: Path) -> None:
    _, public = write_keys(tmp_path, "theirs")
    with pytest.raises(Failed, match=r"3\.sig .*theirs\.pub: Key mismatch"):
        PublicKey(public).check(version)


def test_files_that_the_signer_left_out_are_named(version: Path, keys: tuple[Path, Path]) -> None:
    """model-signing itself accepts such a signature: what is left out may be anything."""
    sign(version, keys[0], (version / "variables",))
    with pytest.raises(Failed, match=r"variables/variables\.index was left out"):
        PublicKey(keys[1]).check(version)


@pytest.mark.parametrize("content", ["private", "rsa", "text", "missing", "folder"])
def test_a_file_that_is_no_such_key(keys: tuple[Path, Path], tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    if content == "private":
        path = keys[0]
    elif content == "rsa":
        other = rsa.generate_private_key(65537, 2048).public_key()
        path.write_bytes(
            other.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
    elif content == "text":
        path.write_text("ssh-ed25519 AAAA")
    elif content == "folder":
        path.mkdir()
    with pytest.raises(SettingsError, match=r"expected a (public key in PEM|file)|No such file"):
        PublicKey(path)


def test_without_the_extra_it_says_what_to_install(keys: tuple[Path, Path], tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['model_signing'] = None\n"
        "from atelier_client.cli.main import main\n"
        f"sys.argv = ['atelier-client', 'release', '--model', 'm', '--models', {str(tmp_path)!r}, "
        f"'--require-signature', {str(keys[1])!r}]\nsys.exit(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "pip install 'atelier-client[signing]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    with releases(tmp_path_factory.mktemp("releases")) as found:
        yield found


def test_only_a_signed_version_is_released(made: Releases, keys: tuple[Path, Path], tmp_path: Path) -> None:
    folder = made.models / "fashion"
    command = ("release", 2, "--require-signature", keys[1])
    unsigned = made.run(*command, "--json")
    assert unsigned.returncode == 1, unsigned.stderr
    assert json.loads(unsigned.stdout)["event"] == "rejected"
    assert "2.sig does not exist" in unsigned.stderr
    assert (made.entries()[-1].event, "2.sig" in made.entries()[-1].reason) == ("rejected", True)
    assert made.loaded() == {1}
    sign(folder / "3", keys[0])
    shutil.copy(folder / "3.sig", folder / "2.sig")
    of_another = made.run(*command)
    assert of_another.returncode == 1
    assert "variables/variables.data-00000-of-00001" in of_another.stderr
    sign(folder / "2", write_keys(tmp_path, "theirs")[0])
    assert "Key mismatch" in made.run(*command).stderr
    assert made.loaded() == {1}
    # --force passes over the gate, not over who has signed.
    forced = made.run(*command, "--force", "--reason", "now")
    assert (forced.returncode, made.entries()[-1].event) == (1, "rejected")
    sign(folder / "2", keys[0])
    done = made.run(*command)
    assert done.returncode == 0, done.stderr
    assert made.label("stable") == 2
    # Neither the server nor a check of the disk minds the file.
    assert made.loaded() == {1, 2}
    assert ".sig" not in made.run("doctor", "--models", made.models).stdout


def test_a_signature_goes_with_its_version(made: Releases, keys: tuple[Path, Path]) -> None:
    made.begin()
    folder = made.models / "fashion"
    for number in (2, 3):
        sign(folder / str(number), keys[0])
    sign(folder / "1", keys[0])
    shutil.copytree(folder / "2", folder / "4")
    sign(folder / "4", keys[0])
    done = made.run("release", 4, "--require-signature", keys[1], "--keep", 1)
    assert done.returncode == 0, done.stderr
    left = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert left == {"1", "1.sig", "4", "4.sig"}
