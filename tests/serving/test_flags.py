"""Flags behave as TensorFlow Serving's."""

from __future__ import annotations

import os
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from atelier_client import Client
from atelier_serving.flags import command_line, parse, validated
from atelier_serving.status import ServingError

from tests.support.ports import free_port
from tests.support.server import COMMAND, running_server
from tests.support.toy_models import save_toy


def test_both_forms_of_a_flag_and_the_last_of_two() -> None:
    flags = parse(
        [
            "--port=1",
            "--port",
            "2",
            "--enable_model_warmup=false",
            "--allow_version_labels_for_unavailable_models",
        ]
    )
    assert (flags.port, flags.enable_model_warmup, flags.allow_version_labels_for_unavailable_models) == (
        2,
        False,
        True,
    )


def test_an_unknown_flag_is_reported_and_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(["--prot=1", "--model_name=m"]).model_name == "m"
    assert "unknown argument: --prot=1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--port=http"], "--port=http: expected a whole number"),
        (["--version=maybe"], "expected true or false"),
        (
            ["--batching_parameters_file=x", "--model_base_path=/m"],
            "without setting server_options.enable_batching",
        ),
        (["--use_alts_credentials"], "does not have"),
        ([], "model_base_path and server_options.model_config_file are empty"),
        (["--model_base_path=/m", "--port=8500", "--rest_api_port=8500"], "must differ"),
        (["--model_base_path=/m", "--log_format=xml"], "--log_format=xml: expected text or json"),
        (["--model_base_path=/m", "--request_log_sampling_rate=2"], "expected a number from 0 to 1"),
        (["--model_base_path=/m", "--request_log_max_bytes=0"], "expected a size above 0, such as"),
        (["--model_base_path=/m", "--request_log_max_bytes=-1MB"], "expected a size above 0, such as"),
        (["--model_base_path=/m", "--request_log_max_bytes=much"], "expected a size above 0, such as"),
        (["--model_base_path=/m", "--request_log_max_age_seconds=0"], "expected a number of seconds above 0"),
        (
            ["--model_base_path=/m", "--request_log_max_age_seconds=nan"],
            "expected a number of seconds above 0",
        ),
        (["--model_base_path=/m", "--request_log_redact=a,,b", "--request_log_dir=d"], "such as name,age"),
        (["--model_base_path=/m", "--request_log_redact=a"], "set --request_log_dir, too"),
        (["--model_base_path=/m", "--workers=0"], "--workers=0: expected a positive whole number"),
        (["--model_base_path=/m", "--workers=-2"], "--workers=-2: expected a positive whole number"),
        (["--model_base_path=/m", "--workers=all"], "--workers=all: expected a whole number"),
    ],
)
def test_a_flag_that_cannot_be_honoured_is_refused(arguments: list[str], text: str) -> None:
    with pytest.raises(ServingError, match=text):
        validated(parse(arguments))


def test_a_worker_gets_the_flags_of_its_server() -> None:
    arguments = [
        "--port=1",
        "--host=::1",
        "--rest_api_enable_cors_support",
        "--request_log_sampling_rate=0.5",
    ]
    flags = parse(arguments)
    assert parse(command_line(flags)) == flags
    assert len(command_line(flags)) == len(arguments)


def test_a_failed_start_says_so_on_stdout_and_exits_255(tmp_path: Path) -> None:
    done = subprocess.run(
        [COMMAND, f"--port={free_port()}", "--model_config_file=nowhere.config"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 255
    assert done.stdout.startswith("Failed to start server. Error: NOT_FOUND")
    assert "Traceback" not in done.stderr


def test_the_version_is_the_distribution_s_and_stands_once() -> None:
    project = Path(__file__).parents[2] / "serving" / "pyproject.toml"
    assert tomllib.loads(project.read_text())["project"]["dynamic"] == ["version"]
    done = subprocess.run([COMMAND, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert (
        done.stdout
        == f"atelier-serving {metadata.version('atelier-serving')} (TensorFlow Serving 2.20 API)\n"
    )


def test_help_lists_the_flags() -> None:
    done = subprocess.run([COMMAND, "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert "--file_system_poll_wait_seconds" in done.stdout
    assert "so many processes share the ports" in done.stdout


@pytest.mark.parametrize(
    "flag",
    [
        "tensorflow_session_parallelism",
        pytest.param("tensorflow_intra_op_parallelism", marks=pytest.mark.soak),
        pytest.param("tensorflow_inter_op_parallelism", marks=pytest.mark.soak),
    ],
)
def test_the_threads_of_the_runtime_are_as_many_as_asked_for(tmp_path: Path, flag: str) -> None:
    save_toy(tmp_path, version=1, factor=1.0)
    counted = []
    for wanted in (1, 33):
        with running_server(tmp_path, f"--{flag}={wanted}", model="toy") as server:
            with Client(server.grpc, "toy") as client:
                client.predict(np.ones(1, np.float32))
            counted.append(len(os.listdir(f"/proc/{server.process.pid}/task")))
    # Give or take some of gRPC's; the flag for both pools makes twice as many.
    assert counted[1] - counted[0] >= 28, counted
