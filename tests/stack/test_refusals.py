"""What `make up` refuses, in one sentence and before it builds anything."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import state as states
from stack.engines import docker, processes
from stack.engines.docker import Docker
from stack.engines.images import PYTHON_IMAGE
from stack.state import State
from tests.support.checkout import Checkout


def test_an_absent_engine_is_one_clear_error(checkout: Checkout) -> None:
    text = checkout.make("up", "ENGINE=compose", expect=1, DOCKER_HOST="unix:///nonexistent/engine.sock")
    assert "ENGINE=compose needs a container engine" in text
    assert "ENGINE=local" in text
    assert "Traceback" not in text


def test_an_engine_that_dies_is_told_from_an_image_that_is_missing(
    checkout: Checkout, engine: Docker
) -> None:
    """A docker command whose engine is gone from the first `pull` on."""
    script, dead = checkout.path / "bin" / "docker", checkout.path / "dead"
    script.parent.mkdir()
    if docker.has_image(PYTHON_IMAGE):
        pytest.skip("this machine has the Python image: nothing would be pulled")
    script.write_text(
        f'#!/bin/sh\n[ "$1" = pull ] && touch "{dead}"\n'
        f'[ -e "{dead}" ] && export DOCKER_HOST=unix:///nonexistent/engine.sock\n'
        f'exec {shutil.which("docker")} "$@"\n'
    )
    script.chmod(0o755)
    text = checkout.make("up", "ENGINE=compose", expect=1, PATH=f"{script.parent}:{os.environ['PATH']}")
    assert "the container engine does not answer" in text
    assert "debootstrap" not in text
    assert "Traceback" not in text


def test_a_dead_engine_does_not_keep_the_loop_from_running_locally(checkout: Checkout) -> None:
    states.save(checkout.path / ".atelier", State("compose", 1, 2, "fashion"))
    gone = "unix:///nonexistent/engine.sock"
    assert "container engine" in checkout.make("evaluate", expect=1, DOCKER_HOST=gone)
    text = checkout.make("up", "ENGINE=local", "GPU=1", expect=1, PATH="/usr/bin:/bin", DOCKER_HOST=gone)
    assert "GPU=1 needs an NVIDIA driver" in text


def test_gpu_without_the_nvidia_runtime_stops_before_building(checkout: Checkout, engine: Docker) -> None:
    if engine.has_nvidia:
        pytest.skip("this machine has the NVIDIA runtime")
    text = checkout.make("up", "GPU=1", expect=2)
    assert "GPU=1 needs the NVIDIA container runtime" in text
    assert not (checkout.path / ".atelier" / "logs").exists()


def test_gpu_without_a_driver_stops_local_runs_before_building(checkout: Checkout) -> None:
    text = checkout.make("up", "GPU=1", "ENGINE=local", expect=1, PATH="/usr/bin:/bin")
    assert "GPU=1 needs an NVIDIA driver" in text
    assert not (checkout.path / ".venv").exists()


@pytest.fixture
def broken_docker(tmp_path: Path) -> str:
    """A PATH whose docker command says what it is, and fails at everything else: an engine that has just died."""
    script = tmp_path / "broken" / "docker"
    script.parent.mkdir()
    script.write_text(
        "#!/bin/sh\ncase $1 in info) echo {};; compose) ;; *) echo 'unexpected EOF' >&2; exit 1;; esac\n"
    )
    script.chmod(0o755)
    return f"{script.parent}:{os.environ['PATH']}"


def test_an_engine_that_fails_is_not_taken_for_a_service_that_is_gone(
    checkout: Checkout, broken_docker: str
) -> None:
    state = checkout.path / ".atelier"
    assert "does not say whether the service runs" in checkout.make("down", expect=1, PATH=broken_docker)
    states.save(state, State("compose", 1, 2, "fashion", base_image="none"))
    for command in ("evaluate", "predict", "ps", "logs", "up", "study"):
        text = checkout.make(command, expect=1, PATH=broken_docker)
        assert "The container engine does not say whether the service runs (unexpected EOF)" in text
    assert states.load(state) is not None


@pytest.mark.parametrize(
    ("engine_name", "folder", "command"),
    [
        ("local", "runs", "up"),
        ("local", "models", "up"),
        ("local", "data", "study"),
        ("local", "reports", "up"),
        ("compose", "runs", "up"),
        ("compose", "reports", "study"),
    ],
)
def test_a_link_to_nothing_in_place_of_a_folder_is_named_before_anything_is_set_up(
    checkout: Checkout, broken_docker: str, engine_name: str, folder: str, command: str
) -> None:
    (checkout.path / folder).symlink_to("/nonexistent/place")
    text = checkout.make(command, f"ENGINE={engine_name}", expect=2, PATH=broken_docker)
    assert f"{folder} is a link to /nonexistent/place, which does not exist" in text
    assert not (checkout.path / ".venv").exists()
    assert not (checkout.path / ".atelier" / "logs").exists()


def test_data_that_are_not_there_are_named_before_anything_is_set_up(checkout: Checkout) -> None:
    (checkout.path / "mine.yaml").write_text("name: a\nmodel: a\ndata: {csv: gone.csv}\n")
    text = checkout.make("up", "JOB=mine.yaml", expect=2)
    assert "JOB=mine.yaml: data.csv: " in text
    assert "gone.csv does not exist" in text
    assert not (checkout.path / ".venv").exists()


def test_a_taken_port_is_named_before_anything_is_set_up(checkout: Checkout) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", int(checkout.settings["GRPC_PORT"])))
        server.listen()
        text = checkout.make("up", expect=2)
    assert f"Port {checkout.settings['GRPC_PORT']} on 127.0.0.1 is taken" in text
    assert not (checkout.path / ".venv").exists()


@pytest.mark.parametrize("command", ["evaluate", "predict", "logs"])
def test_commands_on_a_service_say_that_none_runs(checkout: Checkout, command: str) -> None:
    assert "`make up`" in checkout.make(command, expect=3)


def test_help_is_the_default_and_names_every_target(checkout: Checkout) -> None:
    text = checkout.make()
    for target in ("up", "down", "evaluate", "logs", "ps", "clean", "test", "bench"):
        assert f"make {target} " in text


def test_a_typo_in_job_is_found_before_anything_is_set_up(checkout: Checkout) -> None:
    for command in ("up", "evaluate", "predict"):
        text = checkout.make(command, "JOB=fashion-dnse", expect=2)
        assert "Did you mean fashion-dense?" in text
    assert "Did you mean imdb?" in checkout.make("study", "JOB=imbd", expect=2)
    assert not (checkout.path / ".venv").exists()
    assert not (checkout.path / ".atelier").exists()


def test_a_damaged_state_file_is_named_and_down_mends_it(checkout: Checkout) -> None:
    state = checkout.path / ".atelier" / "state.json"
    states.save(state.parent, State("local", 1, 2, "fashion"))
    state.write_text(state.read_text()[:20])
    for command in ("up", "ps", "logs", "evaluate", "predict"):
        assert "state.json is damaged" in checkout.make(command, expect=1)
    checkout.make("down")
    assert "Nothing is running" in checkout.make("ps")


@pytest.mark.parametrize(
    ("command", "ours"),
    [
        ("/co/.venv/bin/python3.11 /co/.venv/bin/atelier-serving --port=1", True),
        ("/usr/bin/python3 /co/.venv/bin/atelier-serving", True),
        ("/a place/python /co/.venv/bin/atelier-serving --port=1", True),
        ("/co/.venv/bin/atelier-serving --port=1", True),
        ("python3 /mnt/co/.venv/bin/atelier-serving --port=1", False),
        ("/mnt/co/.venv/bin/atelier-serving --port=1", False),
        ("less /co/.venv/bin/atelier-serving", False),
        ("tail -f /co/.venv/bin/atelier-serving.log", False),
        ("python3 /co/.venv/bin/atelier-serving.py", False),
    ],
)
def test_a_server_of_this_checkout_is_told_from_every_other_process(command: str, ours: bool) -> None:
    assert processes.script(Path("/co"), "atelier-serving")(f"{command} ".rstrip()) == ours


def test_down_stops_a_server_that_no_state_file_tells_of(checkout: Checkout) -> None:
    """A process with the command line of a server of this checkout, and another checkout's."""
    ours, others = checkout.path / ".venv" / "bin", checkout.path / "other" / ".venv" / "bin"
    started = []
    try:
        for folder in (ours, others):
            folder.mkdir(parents=True)
            script = folder / "atelier-serving"
            script.write_text("import time; print('up', flush=True); time.sleep(600)")
            process = subprocess.Popen([sys.executable, str(script), "--port=1"], stdout=subprocess.PIPE)
            started.append(process)
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
        checkout.make("down")
        assert started[0].wait(timeout=10) != 0
        assert started[1].poll() is None
    finally:
        for process in started:
            process.kill()
            process.communicate()


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder cannot be written: not by its owner's rights, and for root not by its mount."""
    if os.getuid():
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.chmod(0o755)
        return
    if subprocess.run(["mount", "--bind", folder, folder], check=False).returncode:
        pytest.skip("root needs a mount to make a folder read-only, and this machine allows none")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("command", ["up", "study", "down", "clean"])
def test_a_checkout_that_cannot_be_written_is_one_clear_error(checkout: Checkout, command: str) -> None:
    with read_only(checkout.path):
        text = checkout.make(command, expect=1)
        assert text.count("error:") == 1
        assert "cannot be written" in text
        assert "Nothing is running" in checkout.make("ps")


@pytest.mark.parametrize("command", ["up GPU=maybe", "ps", "down", "evaluate", "logs", "clean"])
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_reason_for_a_traceback(
    checkout: Checkout, command: str, closed: str
) -> None:
    line = f"make --no-print-directory {command} {closed}"
    done = subprocess.run(["sh", "-c", line], cwd=checkout.path, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stdout + done.stderr
    assert "Bad file descriptor" not in done.stdout + done.stderr
    assert done.returncode == (0 if command in ("ps", "down", "clean") else 2)


def test_a_full_output_is_an_error_and_no_traceback(checkout: Checkout) -> None:
    line = "python3 -m stack ps >/dev/full"
    done = subprocess.run(["sh", "-c", line], cwd=checkout.path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: No space left on device.")
    assert "Traceback" not in done.stderr


def old_pythons() -> list[str]:
    """The Pythons before 3.11 on this machine that work, as paths."""
    names = [f"python3.{minor}" for minor in range(6, 11)]
    homes = [Path.home() / ".pyenv" / "versions"]
    found = [shutil.which(name) for name in names]
    found += [str(path) for home in homes for name in names for path in home.glob(f"*/bin/{name}")]
    works = [
        path
        for path in found
        if path and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0
    ]
    return sorted({Path(path).name: path for path in works}.values())


def test_an_old_python_is_told_in_a_sentence(checkout: Checkout) -> None:
    pythons = old_pythons()
    if not pythons:
        pytest.skip("this machine has no Python older than 3.11")
    for path in pythons:
        done = subprocess.run(
            [path, "-m", "stack", "ps"],
            cwd=checkout.path,
            env={"PATH": "/nonexistent"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        assert "the stack needs Python 3.11 to 3.13" in done.stderr
        assert done.stderr.count("\n") == 1


def test_an_old_python_hands_over_to_a_newer_one(checkout: Checkout, tmp_path: Path) -> None:
    pythons = old_pythons()
    if not pythons:
        pytest.skip("this machine has no Python older than 3.11")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3.12").symlink_to("/nonexistent/python3.12")
    (tmp_path / "bin" / "python3.11").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "bin" / "python3.11").chmod(0o755)
    done = subprocess.run(
        [pythons[-1], "-m", "stack", "ps"],
        cwd=checkout.path,
        env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Nothing is running" in done.stdout


def test_a_reader_that_has_enough_of_the_log_is_no_error(checkout: Checkout) -> None:
    folder = checkout.path / ".atelier"
    states.save(folder, State("local", 1, 2, "fashion"))
    (folder / "serving.log").write_text("a line of the log\n" * 100_000)
    line = "python3 -m stack logs | head -n 1"
    done = subprocess.run(["sh", "-c", line], cwd=checkout.path, capture_output=True, text=True, check=True)
    assert done.stdout == "a line of the log\n"
    assert done.stderr == ""


def test_a_service_that_ended_keeps_its_ports(checkout: Checkout) -> None:
    """A bare `make up` looks for the ports that the service had, and one of them is taken."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        states.save(checkout.path / ".atelier", State("local", port, port + 1, "fashion", pid=2**22))
        text = Checkout(checkout.path).make("up", expect=2)
    assert f"Port {port} on 127.0.0.1 is taken" in text
