"""What `make up` refuses, in one sentence and before it builds anything."""

import os
import shutil
import socket

import pytest

from stack import docker
from stack import state as states
from stack.images import PYTHON_IMAGE
from stack.state import State


def test_an_absent_engine_is_one_clear_error(checkout):
    text = checkout.make("up", "ENGINE=compose", expect=1, DOCKER_HOST="unix:///nonexistent/engine.sock")
    assert "ENGINE=compose needs a container engine" in text
    assert "ENGINE=local" in text
    assert "Traceback" not in text


def test_an_engine_that_dies_is_told_from_an_image_that_is_missing(checkout, engine):
    """A docker command whose engine is gone from the first `pull` on."""
    script, dead = checkout.path / "bin" / "docker", checkout.path / "dead"
    script.parent.mkdir()
    if docker.has_image(PYTHON_IMAGE):
        pytest.skip("this machine has the Python image: nothing would be pulled")
    script.write_text(
        f'#!/bin/sh\n[ "$1" = pull ] && touch {dead}\n'
        f"[ -e {dead} ] && export DOCKER_HOST=unix:///nonexistent/engine.sock\n"
        f'exec {shutil.which("docker")} "$@"\n'
    )
    script.chmod(0o755)
    text = checkout.make("up", "ENGINE=compose", expect=1, PATH=f"{script.parent}:{os.environ['PATH']}")
    assert "the container engine does not answer" in text
    assert "debootstrap" not in text
    assert "Traceback" not in text


def test_a_dead_engine_does_not_keep_the_loop_from_running_locally(checkout):
    states.save(checkout.path / ".atelier", State("compose", 1, 2, "fashion"))
    gone = {"DOCKER_HOST": "unix:///nonexistent/engine.sock"}
    assert "container engine" in checkout.make("evaluate", expect=1, **gone)
    text = checkout.make("up", "ENGINE=local", "GPU=1", expect=1, PATH="/usr/bin:/bin", **gone)
    assert "GPU=1 needs an NVIDIA driver" in text


def test_gpu_without_the_nvidia_runtime_stops_before_building(checkout, engine):
    if engine.has_nvidia:
        pytest.skip("this machine has the NVIDIA runtime")
    text = checkout.make("up", "GPU=1", expect=2)
    assert "GPU=1 needs the NVIDIA container runtime" in text
    assert not (checkout.path / ".atelier" / "logs").exists()


def test_gpu_without_a_driver_stops_local_runs_before_building(checkout):
    text = checkout.make("up", "GPU=1", "ENGINE=local", expect=1, PATH="/usr/bin:/bin")
    assert "GPU=1 needs an NVIDIA driver" in text
    assert not (checkout.path / ".venv").exists()


def test_a_taken_port_is_named_before_anything_is_set_up(checkout):
    with socket.socket() as server:
        server.bind(("127.0.0.1", int(checkout.settings["GRPC_PORT"])))
        server.listen()
        text = checkout.make("up", expect=2)
    assert f"Port {checkout.settings['GRPC_PORT']} on 127.0.0.1 is taken" in text
    assert not (checkout.path / ".venv").exists()


@pytest.mark.parametrize("command", ["evaluate", "predict", "logs"])
def test_commands_on_a_service_say_that_none_runs(checkout, command):
    assert "`make up`" in checkout.make(command, expect=3)


def test_help_is_the_default_and_names_every_target(checkout):
    text = checkout.make()
    for target in ("up", "down", "evaluate", "logs", "ps", "clean", "test", "bench"):
        assert f"make {target} " in text
