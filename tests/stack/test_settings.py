"""Settings: every wrong value is named, with what was expected."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stack.engines.project import project_name
from stack.errors import UsageError
from stack.settings import container_user, read_settings

ROOT = Path("checkout")


def test_defaults_are_auto_engine_and_the_dense_job() -> None:
    settings = read_settings(ROOT, {})
    assert (settings.engine, settings.job, settings.gpu, settings.retrain) == (
        "auto",
        "fashion-dense",
        False,
        False,
    )
    assert settings.grpc_port is None
    assert settings.rest_port is None


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"ENGINE": "podman"}, "ENGINE=podman: expected one of auto, compose, local"),
        ({"GRPC_PORT": "http"}, "GRPC_PORT=http"),
        ({"REST_PORT": "0"}, "REST_PORT=0"),
        ({"REST_PORT": "65536"}, "REST_PORT=65536"),
        *(
            ({"WORKERS": value}, f"WORKERS={value}: expected a number from 1 to 64")
            for value in ("0", "-1", "x", "65")
        ),
        ({"GPU": "yes"}, "GPU=yes: expected 1 or 0"),
        ({"RETRAIN": "true"}, "RETRAIN=true: expected 1 or 0"),
        ({"GRPC_PORT": "8501"}, "must differ"),
        ({"OBSERVE": "yes"}, "OBSERVE=yes: expected 1 or 0"),
        ({"CONSOLE": "no"}, "CONSOLE=no: expected 1 or 0"),
        ({"PROMETHEUS_PORT": "web"}, "PROMETHEUS_PORT=web: expected a port"),
        ({"MAKEFLAGS": " -- OBSERV=1"}, "OBSERV=..: there is no such setting. Did you mean OBSERVE?"),
        ({"FORCE": "yes"}, "FORCE=yes: expected 1 or 0"),
        ({"MAKEFLAGS": " -- Job=a"}, "Job=..: there is no such setting. Did you mean JOB?"),
        ({"MAKEFLAGS": "s -j2 --jobserver-auth=3,4 -- GRPCPORT:=1 ROWS=0:5"}, "Did you mean GRPC_PORT?"),
        ({"MAKEFLAGS": " -- JOB=a\\ b=c ENGNE=local"}, "ENGNE=..: there is no such setting"),
    ],
)
def test_a_wrong_setting_is_named(environ: dict[str, str], named: str) -> None:
    with pytest.raises(UsageError, match=re.escape(named)):
        read_settings(ROOT, environ)


def test_names_that_are_no_setting_of_make_are_left_to_the_programs() -> None:
    flags = r"s -j2 --jobserver-auth=3,4 -- JOB=my\ ROW=1 PART=client COMPOSE_PROJECT_NAME=a TF_CPP_MIN_LOG_LEVEL=0"
    read_settings(ROOT, {"MAKEFLAGS": flags})


def test_two_checkouts_have_two_compose_projects(tmp_path: Path) -> None:
    assert project_name(tmp_path / "a") != project_name(tmp_path / "b")
    assert project_name(tmp_path / "a") == project_name(tmp_path / "b" / ".." / "a")


def test_containers_never_run_as_root() -> None:
    uid, gid = container_user()
    assert uid > 0
    assert gid > 0


def test_a_path_that_no_python_and_no_container_can_stand_in_is_named() -> None:
    with pytest.raises(UsageError, match=r"/home/a:b holds a ':'"):
        read_settings(Path("/home/a:b"), {})


def test_a_project_name_is_written_as_compose_tools_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "My Project_1-a")
    assert project_name(tmp_path) == "myproject_1-a"
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "..")
    assert project_name(tmp_path).startswith("atelier-")
