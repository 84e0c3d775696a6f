"""tritonclient and the kserve SDK, which no one here wrote, get the answers of TensorFlow Serving's wire to the bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.foreign.exchanged import heard, told
from tests.support import foreign
from tests.support.open_inference import DTYPES, EDGES, SIGNATURES, bits
from tests.support.server import Address
from tests.support.wire import predict_request

pytestmark = pytest.mark.deviation


def finite(array: np.ndarray) -> np.ndarray:
    """JSON has no NaN and no infinity, and not every client writes them all the same."""
    if array.dtype == object or array.dtype.kind in "biu":
        return array
    return np.where(np.isfinite(array.astype(np.float64)), array, np.ones((), array.dtype))


VALUES = {kind: finite(array) for kind, array in EDGES.items()}


def ask(script: str, server: Address) -> Any:
    inputs = {kind: {"signature": SIGNATURES[kind], "x": told(array)} for kind, array in VALUES.items()}
    rest = server.rest if "kserve" in script else server.rest.removeprefix("http://")
    return foreign.run("clients", script, server.grpc, rest, given=json.dumps(inputs))


def check(forms: Any, predict: Callable[..., Any], unknown: dict[str, set[str]]) -> None:
    """Each form has all data types but those that its client does not know, with the wire's answers."""
    expected = {}
    for kind, array in VALUES.items():
        answer = predict(predict_request(signature=SIGNATURES[kind], x=array))
        expected[kind] = bits(tf.make_ndarray(answer.outputs["y"]))
    for form, answers in forms.items():
        assert set(answers) == set(DTYPES) - unknown.get(form, set()), form
        for kind, facts in answers.items():
            assert bits(heard(facts)) == expected[kind], f"{form}, {kind}"


def test_tritonclient_gets_the_wire_s_answers(server: Address, predict: Callable[..., Any]) -> None:
    forms = ask("ask_with_tritonclient.py", server)
    states = forms.pop("told")
    assert len(forms) == 8
    check(forms, predict, {"HTTP, JSON": {"FP16", "BF16"}})
    assert states["states"] == [[True, True, True, True, False, False]] * 2
    assert states["servers"][0] == states["servers"][1]
    called, asked = states["models"]
    # Over gRPC, JSON writes 64-bit numbers as texts.
    assert [int(size) for size in called["inputs"][0]["shape"]] == asked["inputs"][0]["shape"] == [-1]
    assert called["versions"] == asked["versions"] == ["1"]


def test_the_kserve_sdk_gets_the_wire_s_answers(server: Address, predict: Callable[..., Any]) -> None:
    forms = ask("ask_with_kserve.py", server)
    states = forms.pop("told")
    assert len(forms) == 4
    unknown = {form: {"BF16"} for form in forms}
    unknown["HTTP, JSON"].add("FP16")
    unknown["gRPC, typed"] |= {"FP16", "BYTES"}
    check(forms, predict, unknown)
    assert states == {"states": [True] * 6, "unknown": [False, False]}
