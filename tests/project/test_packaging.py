"""The distributions can be published as they stand: whole metadata, one licence, one version."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ("trainer", "serving", "client", "console")
# The SHA-256 of LICENSE-2.0.txt is cfc7749b..: what is ours is the line with the year and the owner alone.
OWNER = "   Copyright 2026 The Atelier authors\n"


@pytest.fixture(scope="session", params=COMPONENTS)
def distribution(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """One component's (wheel, sdist), built by the installed flit: no network is asked and nothing is installed."""
    folder = tmp_path_factory.mktemp(request.param)
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(ROOT / request.param),
    ]
    built = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    wheels, sdists = list(folder.glob("*.whl")), list(folder.glob("*.tar.gz"))
    assert len(wheels) == len(sdists) == 1
    return wheels[0], sdists[0]


def metadata(wheel: Path) -> Message:
    """A wheel's METADATA: the fields that a package index shows."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return BytesParser().parsebytes(archive.read(name))


def test_an_index_would_take_wheel_and_sdist(distribution: tuple[Path, Path]) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, distribution)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("PASSED") == 2


def test_metadata_says_what_a_stranger_asks(distribution: tuple[Path, Path]) -> None:
    fields = metadata(distribution[0])
    assert fields["License-Expression"] == "Apache-2.0"
    assert fields.get_all("License-File") == ["LICENSE"]
    assert fields["Description-Content-Type"] == "text/markdown"
    assert fields["Name"] in fields.get_payload()
    assert fields["Summary"]
    assert fields["Keywords"]
    classifiers = fields.get_all("Classifier", [])
    # License-Expression takes the place of the licence classifiers (PEP 639); an index refuses both together.
    assert not [line for line in classifiers if line.startswith("License ::")]
    pythons = {
        line.rpartition(" ")[2]
        for line in classifiers
        if line.startswith("Programming Language :: Python :: 3.")
    }
    assert pythons == {"3.11", "3.12", "3.13"}
    labels = {line.partition(",")[0] for line in fields.get_all("Project-URL", [])}
    assert labels == {"Homepage", "Documentation", "Changelog", "Issues", "Source"}


def test_wheel_and_sdist_carry_the_licence(distribution: tuple[Path, Path]) -> None:
    wheel, sdist = distribution
    licence = (ROOT / "LICENSE").read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
        assert archive.read(name) == licence
    with tarfile.open(sdist) as archive_of_sources:
        member = archive_of_sources.extractfile(f"{sdist.name.removesuffix('.tar.gz')}/LICENSE")
        assert member is not None
        assert member.read() == licence


def test_wheel_holds_every_module_of_the_package(distribution: tuple[Path, Path]) -> None:
    package = distribution[0].name.partition("-")[0]
    component = package.removeprefix("atelier_")
    tracked = subprocess.run(
        ["git", "ls-files", f"{component}/{package}"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    wanted = {name.removeprefix(f"{component}/") for name in tracked if (ROOT / name).exists()}
    with zipfile.ZipFile(distribution[0]) as archive:
        assert wanted <= set(archive.namelist())
    assert wanted


def test_wheel_says_that_it_is_typed(distribution: tuple[Path, Path]) -> None:
    """Without the marker (PEP 561) a type checker takes every name of an installed package for Any."""
    package = distribution[0].name.partition("-")[0]
    with zipfile.ZipFile(distribution[0]) as archive:
        assert f"{package}/py.typed" in archive.namelist()
    assert "Typing :: Typed" in metadata(distribution[0]).get_all("Classifier", [])


def test_one_version_in_all() -> None:
    """Each package states it once, in its `__init__`: the metadata and `--version` take it from there."""
    versions = {}
    for component in COMPONENTS:
        project = tomllib.loads((ROOT / component / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert project["dynamic"] == ["version"]
        source = (ROOT / component / f"atelier_{component}" / "__init__.py").read_text(encoding="utf-8")
        [versions[component]] = re.findall(r'^__version__ = "(\d+\.\d+\.\d+)"$', source, re.MULTILINE)
    assert len(set(versions.values())) == 1, versions


def test_wheel_has_the_packages_version(distribution: tuple[Path, Path]) -> None:
    package, version = distribution[0].name.split("-")[:2]
    source = (ROOT / package.removeprefix("atelier_") / package / "__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{version}"' in source
    assert metadata(distribution[0])["Version"] == version


def test_one_licence_in_all_places() -> None:
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert licence.count(OWNER) == 1
    assert licence.lstrip().startswith(
        "Apache License\n                           Version 2.0, January 2004\n"
    )
    for component in COMPONENTS:
        assert (ROOT / component / "LICENSE").read_text(encoding="utf-8") == licence
