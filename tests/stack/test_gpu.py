"""`GPU=1` names the cards that cannot be driven. No test machine has one: a script stands in for nvidia-smi."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from stack.engines import gpu
from stack.errors import Unavailable
from tests.support.checkout import Checkout

Cards = Callable[[str], str]


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cards:
    """Puts an nvidia-smi that prints a text first on PATH; returns that PATH."""

    def put(text: str, status: int = 0) -> str:
        script = tmp_path / "driver" / "nvidia-smi"
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
        script.chmod(0o755)
        path = f"{script.parent}:{os.environ['PATH']}"
        monkeypatch.setenv("PATH", path)
        return path

    return put


def test_what_is_known_of_the_packages_is_what_they_say() -> None:
    build = tf.sysconfig.get_build_info()
    assert build["is_cuda_build"]
    assert tuple(build["cuda_compute_capabilities"]) == gpu.BUILT_FOR
    numbers = [name.partition("_")[2] for name in gpu.BUILT_FOR]
    assert {number[0] for number in numbers} == {str(major) for major in range(6, 10)}
    for number in numbers:
        assert gpu.drivable(f"{number[0]}.{number[1]}")


@pytest.mark.parametrize(
    ("capability", "drivable"),
    [
        ("5.2", False),
        ("6.1", True),
        ("7.5", True),
        ("8.6", True),
        ("9.0", True),
        ("10.0", False),
        ("12.0", False),
    ],
)
def test_a_card_is_driven_when_there_is_code_for_its_major_number(capability: str, drivable: bool) -> None:
    assert gpu.drivable(capability) is drivable


def test_one_card_of_two_that_cannot_be_driven_is_named(
    cards: Cards, capsys: pytest.CaptureFixture[str]
) -> None:
    cards("8.9, NVIDIA L4\n12.0, NVIDIA GeForce RTX 5090")
    gpu.require_drivable()
    said = capsys.readouterr().err
    assert "no code for NVIDIA GeForce RTX 5090 (compute capability 12.0)" in said
    assert "L4" not in said


@pytest.mark.parametrize("text", ["8.9, NVIDIA L4", "[N/A], NVIDIA Tesla", "NVIDIA-SMI has failed", ""])
def test_a_card_that_fits_or_that_nothing_is_known_of_is_no_reason_to_speak(
    text: str, cards: Cards, capsys: pytest.CaptureFixture[str]
) -> None:
    cards(text)
    gpu.require_drivable()
    assert capsys.readouterr().err == ""


def test_without_a_card_that_can_be_driven_nothing_is_built(checkout: Checkout, cards: Cards) -> None:
    path = cards("12.0, NVIDIA GeForce RTX 5090")
    with pytest.raises(Unavailable, match=r"Leave GPU=1 off"):
        gpu.require_drivable()
    text = checkout.make("up", "GPU=1", "ENGINE=local", expect=1, PATH=path)
    assert "GPU=1: TensorFlow" in text
    assert "NVIDIA GeForce RTX 5090 (compute capability 12.0)" in text
    assert not (checkout.path / ".venv").exists()
