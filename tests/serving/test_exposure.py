"""What a server opens and obeys: its address, sockets, folders of reloads, what it prints."""

import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from atelier_serving.flags import Flags, channel_arguments, parse, validated
from atelier_serving.log import printable
from atelier_serving.status import ServingError
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tests.support.peer import ONCE, Peer, entry
from tests.support.ports import free_port
from tests.support.server import running_server
from tests.support.toy_models import save_toy
from tests.support.wire import http, predict_request

COMMAND = str(Path(sys.executable).parent / "atelier-serving")


def refused(host: str, port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as asking:
        return asking.connect_ex((host, port)) != 0


def test_without_a_flag_only_this_machine_is_answered(tmp_path: Path) -> None:
    save_toy(tmp_path)
    port, rest = free_port(), free_port()
    where = [f"--port={port}", f"--rest_api_port={rest}", f"--model_base_path={tmp_path}/toy"]
    with subprocess.Popen([COMMAND, *where], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            deadline = time.monotonic() + 60
            while refused("127.0.0.1", rest):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            # All of 127.0.0.0/8 is this machine, and an address of its own for who listens on one.
            assert refused("127.0.0.2", rest)
            assert refused("127.0.0.2", port)
        finally:
            process.terminate()
            process.communicate(timeout=30)
    dockerfile = Path(__file__).parents[2] / "serving" / "Dockerfile"
    assert 'ENTRYPOINT ["atelier-serving", "--host=0.0.0.0"]' in dockerfile.read_text()


def test_a_unix_socket_and_channel_arguments_are_honoured(tmp_path: Path) -> None:
    save_toy(tmp_path)
    path = tmp_path / "grpc.sock"
    flags = (
        f"--grpc_socket_path={path}",
        "--grpc_channel_arguments=grpc.max_receive_message_length=1000,grpc.primary_user_agent=test",
        "--grpc_max_threads=3",
    )
    with running_server(tmp_path, *ONCE, *flags, model="toy") as server:
        for target in (f"unix:{path}", server.grpc):
            with grpc.insecure_channel(target) as channel:
                stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
                assert stub.Predict(predict_request(x=[1.0]), timeout=10).outputs["y"].float_val[:] == [2.0]
                with pytest.raises(grpc.RpcError) as refused:
                    stub.Predict(predict_request(x=[1.0] * 1000), timeout=10)
                assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--port=0"], "needs --grpc_socket_path"),
        (["--grpc_socket_path=/tmp/x", "--workers=2"], "cannot be shared"),
        (["--grpc_channel_arguments=a"], "expected key=value"),
        (["--reload_from=/nowhere/at/all"], "expected a folder"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(arguments: list[str], text: str) -> None:
    with pytest.raises(ServingError, match=re.escape(text)):
        validated(parse(["--model_base_path=/x", *arguments]))


def test_a_socket_may_stand_in_place_of_the_port() -> None:
    flags = validated(parse(["--model_base_path=/x", "--port=0", "--grpc_socket_path=/tmp/x"]))
    assert (flags.port, flags.host) == (0, Flags.host)
    assert channel_arguments("a=1,b=x=y,") == [("a", 1), ("b", "x=y")]


def test_a_reload_may_name_models_within_its_folder_only(tmp_path: Path) -> None:
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    save_toy(allowed, "toy", 1)
    save_toy(other, "toy", 1)
    (allowed / "link").symlink_to(other / "toy")
    with running_server(allowed, *ONCE, f"--reload_from={allowed}", model="toy") as server:
        peer = Peer(server, allowed, "toy")
        for path in (other / "toy", allowed / "link", allowed / ".." / "other" / "toy", Path("/")):
            with pytest.raises(grpc.RpcError) as refused:
                peer.reload(entry(allowed, "toy"), entry(allowed, "more", path=path))
            assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
            assert refused.value.details() == f"Model more: {path} is not within --reload_from={allowed}."
        save_toy(allowed, "more", 1)
        peer.reload(entry(allowed, "toy"), entry(allowed, "more"))
        assert peer.scale(name="more") == (2.0, 1)
        peer.channel.close()


@pytest.mark.parametrize("text", ["a\x1b[2Jb", "a\nb", "a\x9b31mb", "a\x7fb", "a\u202eb", "a\rb"])
def test_control_characters_are_printed_as_escapes(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown.startswith("a\\")
    assert shown.endswith("b")
    assert printable("plain 'text' \\n ä") == "plain 'text' \\n ä"


def test_names_and_errors_cannot_steer_a_terminal(peer: Peer) -> None:
    name = "evil\x1b[31m\x1b]0;title\x07"
    peer.save(1, name="evil")
    (peer.models / peer.name / "7\x1b[2J").mkdir()
    peer.reload(peer.config(), entry(peer.models, "evil", path=peer.models / "evil"))
    with pytest.raises(grpc.RpcError):
        peer.reload(peer.config(), entry(peer.models, name, path=peer.models / "nowhere\x1b[2J"), timeout=1)
    http(peer.server, "/v1/models/%1b%5b2J")
    peer.wait(lambda: "evil" in peer.server.log_text())
    text = peer.server.log_text()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text), repr(text[-500:])


def test_a_version_beyond_64_bits_is_named_in_the_log_and_not_served(peer: Peer) -> None:
    number = 2**63
    peer.save(number)
    peer.save(2**63 - 1, factor=3.0)
    peer.wait(lambda: peer.scale() == (3.0, 2**63 - 1))
    assert peer.states().keys() == {1, 2**63 - 1}
    assert f"{number} is not looked at: a version number has 63 bits at most." in peer.server.log_text()


def test_a_specific_policy_without_versions_unloads_the_model(peer: Peer) -> None:
    peer.reload(peer.config("model_version_policy { specific {} }"))
    peer.wait(lambda: set(peer.states().values()) == {50})
    peer.reload(peer.config())
    peer.wait(lambda: peer.states() == {1: 30})
    assert peer.scale() == (1.0, 1)
