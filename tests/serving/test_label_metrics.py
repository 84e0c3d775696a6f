"""The share of traffic that each label has is in the metrics, also where requests run together."""

from __future__ import annotations

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from tests.support.http import series
from tests.support.peer import Peer, label

ALL = "model_version_policy { all {} }"
TIMES = 40


def test_requests_are_counted_by_the_label_that_they_asked_by(peer: Peer) -> None:
    peer.save(2)
    peer.reload(peer.config(ALL))
    peer.wait(lambda: peer.states() == {1: 30, 2: 30})
    peer.reload(peer.config(ALL, label(1), label(2, "canary")))
    # The label "stable" three times, "canary" twice, and no label once, in turn.
    asked = ["stable", "canary", None, "stable", "canary", "stable"] * TIMES
    with ThreadPoolExecutor(16) as pool:
        versions = [version for _, version in pool.map(lambda name: peer.scale(label=name), asked)]
    assert versions == [1, 2, 2, 1, 2, 1] * TIMES
    body = json.dumps({"instances": [1.0]}).encode()
    url = f"{peer.server.rest}/v1/models/{peer.name}/labels/canary:predict"
    urllib.request.urlopen(url, body, timeout=10).close()
    with pytest.raises(grpc.RpcError):
        peer.scale(label="made-up")
    assert {
        name: value
        for name, value in series(peer.server).items()
        if name.startswith(f'atelier_label_request_count{{model_name="{peer.name}"')
    } == {
        f'atelier_label_request_count{{model_name="{peer.name}",model_version="{version}",label="{name}"}}': times
        for version, name, times in ((1, "stable", 3 * TIMES), (2, "canary", 2 * TIMES + 1), (2, "", TIMES))
    }
