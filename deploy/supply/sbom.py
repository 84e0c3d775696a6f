"""Bills of materials (CycloneDX 1.6, JSON): one a distribution, one an image that is built here.

    python -m deploy.supply.sbom FOLDER      (`make sbom`)

They are made from the lock files alone, so the same lock files give the same bytes, and no network is asked. A
distribution's bill has what its lock file has for any platform (the marker is a property). An image's has what is
installed in it on Linux and x86_64, its distribution, and the image it is built on by name: what that one brings is not
known here.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.supply.locks import ROOT, Pin, linux, read

_BASE = re.compile(r"^ARG (?:BASE|CLIENT)_IMAGE=(\S+)$", re.MULTILINE)
_VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
MARKER, LOCK_HASH = "example.atelier:marker", "example.atelier:lock:sha256"


@dataclass(frozen=True)
class Image:
    """An image built here: the folders and lock files whose packages it has; the first is its own."""

    components: tuple[str, ...]
    lock: str = "requirements.lock"


DISTRIBUTIONS = ("trainer", "serving", "client", "console")
IMAGES = {
    "atelier-trainer": Image(("trainer",)),
    "atelier-trainer-gpu": Image(("trainer",), "requirements-gpu.lock"),
    "atelier-serving": Image(("serving",)),
    "atelier-client": Image(("client",)),
    "atelier-console": Image(("console", "client")),
}


def documents() -> dict[str, str]:
    """From file name to JSON text, each valid by the schema. Raises `ValueError` when one is not."""
    bills = {f"atelier-{name}.cdx.json": of_distribution(name) for name in DISTRIBUTIONS}
    bills |= {f"image-{name}.cdx.json": of_image(name, image) for name, image in IMAGES.items()}
    return {name: _text(bill, name) for name, bill in bills.items()}


def of_distribution(name: str) -> Bom:
    """The bill of a distribution: what its lock file has, without the tool that builds it."""
    root = _distribution(name)
    pins = [pin for pin in read(ROOT / name / "requirements.lock") if pin.name != "flit-core"]
    return _bill(root, [_package(pin) for pin in pins], _asked(name))


def of_image(name: str, image: Image) -> Bom:
    """The bill of an image as it is built for x86_64 with the base image of its Dockerfile."""
    own = [_distribution(component) for component in image.components]
    # What two lock files share is one package: one resolution made them.
    pins = {pin for component in image.components for pin in read(ROOT / component / image.lock, linux())}
    dockerfile = (ROOT / image.components[-1] / "Dockerfile").read_text(encoding="utf-8")
    [base] = _BASE.findall(dockerfile)
    title, _, tag = base.partition(":")
    below = Component(type=ComponentType.CONTAINER, name=title, version=tag, bom_ref=f"image:{base}")
    root = Component(type=ComponentType.CONTAINER, name=name, version=own[0].version, bom_ref=f"image:{name}")
    parts = [below, *own, *(_package(pin) for pin in sorted(pins, key=lambda pin: (pin.name, pin.version)))]
    return _bill(root, parts, {part.name for part in (below, *own)})


def _distribution(name: str) -> Component:
    project = tomllib.loads((ROOT / name / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [version] = _VERSION.findall(
        (ROOT / name / f"atelier_{name}" / "__init__.py").read_text(encoding="utf-8")
    )
    url = PackageURL("pypi", name=project["name"], version=version)
    return Component(
        type=ComponentType.APPLICATION,
        name=project["name"],
        version=version,
        description=project["description"],
        licenses=[LicenseExpression(project["license"])],
        purl=url,
        bom_ref=str(url),
    )


def _asked(name: str) -> set[str]:
    """The packages that a distribution asks for itself."""
    project = tomllib.loads((ROOT / name / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}


def _package(pin: Pin) -> Component:
    url = PackageURL("pypi", name=pin.name, version=pin.version)
    # The lock file has the digests of all wheels and sources of a version; which one is installed, pip decides.
    facts = [Property(name=LOCK_HASH, value=digest) for digest in pin.hashes]
    if pin.marker:
        facts.append(Property(name=MARKER, value=pin.marker))
    return Component(
        type=ComponentType.LIBRARY,
        name=pin.name,
        version=pin.version,
        purl=url,
        bom_ref=str(url),
        properties=facts,
    )


def _bill(root: Component, parts: Iterable[Component], asked: set[str]) -> Bom:
    """The bill of `root`, which itself asks for the parts of these names; what these ask for is not told."""
    bill = Bom(components=parts)
    bill.metadata.component = root
    bill.register_dependency(root, [part for part in bill.components if part.name in asked])
    return bill


def _text(bill: Bom, name: str) -> str:
    """The document without what is different at every run: the time and the serial number, both optional."""
    document = json.loads(JsonV1Dot6(bill).output_as_string())
    del document["metadata"]["timestamp"], document["serialNumber"]
    text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"{name} is not valid by CycloneDX's schema: {error.data.message}")
    return text


def main() -> int:
    """Write the documents, all or none; print their names."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.supply.sbom", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("folder", type=Path, help="where the documents are written, made where there is none")
    folder: Path = parser.parse_args().folder
    made = documents()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            (folder / f".{name}.new").write_text(text, encoding="utf-8")
        for name in made:
            (folder / f".{name}.new").replace(folder / name)
            print(folder / name)
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
