"""Bad requests of the Open Inference Protocol: one sentence, the right status, never a mistake of the server."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import grpc
import ml_dtypes
import numpy as np
import pytest
from atelier_serving.oip.protos import open_inference_pb2 as pb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.open_inference import DTYPES, FIELDS, HEADER, ask, call, failure, infer_body, infer_message
from tests.support.server import Address
from tests.support.wire import INVALID, NOT_FOUND

pytestmark = pytest.mark.deviation
X = {"x": np.ones(2, np.float32)}
INFER = "/v2/models/toy/infer"
Change = Callable[[Any], object]


def no_value(message: pb.ModelInferRequest) -> None:
    message.parameters["other"].SetInParent()
    message.parameters["other"].ClearField("parameter_choice")


def both(message: pb.ModelInferRequest) -> None:
    message.inputs[0].contents.fp32_contents.append(1)


def typed(
    message: pb.ModelInferRequest, field: str, *values: Any, datatype: str = "FP32", signature: str = ""
) -> None:
    message.parameters["signature_name"].string_param = signature
    del message.raw_input_contents[:]
    message.inputs[0].datatype = datatype
    getattr(message.inputs[0].contents, field).extend(values)


def signed(kind: str, datatype: str, *raw: bytes) -> Change:
    """Ask the signature of a type, with these bytes."""

    def change(message: pb.ModelInferRequest) -> None:
        message.parameters["signature_name"].string_param = f"type_{kind}"
        message.inputs[0].datatype = datatype
        del message.raw_input_contents[:]
        message.raw_input_contents.extend(raw)

    return change


# What is changed of a good raw request for the input x, float32 of two elements; the status, and a part of the text.
CALLS: dict[str, tuple[Change, grpc.StatusCode, str]] = {
    "no model": (lambda m: m.ClearField("model_name"), INVALID, "The request names no model."),
    "model": (lambda m: setattr(m, "model_name", "no"), NOT_FOUND, 'There is no model "no".'),
    "version": (lambda m: setattr(m, "model_version", "7"), NOT_FOUND, "has no version 7"),
    "label": (lambda m: setattr(m, "model_version", "canary"), NOT_FOUND, "labels are absent, stable"),
    "absent": (lambda m: setattr(m, "model_version", "absent"), NOT_FOUND, "has no version 7"),
    "signature": (
        lambda m: setattr(m.parameters["signature_name"], "string_param", "no"),
        INVALID,
        'There is no signature "no": give one of ',
    ),
    "signature's type": (
        lambda m: setattr(m.parameters["signature_name"], "int64_param", 1),
        INVALID,
        "signature_name must be a string",
    ),
    "parameter without a value": (no_value, INVALID, '"other" has no value'),
    "input": (lambda m: setattr(m.inputs[0], "name", "z"), INVALID, 'no input "z": the inputs are x'),
    "no input": (
        lambda m: (m.ClearField("inputs"), m.ClearField("raw_input_contents")),
        INVALID,
        '"x" is missing',
    ),
    "twice": (
        lambda m: (m.inputs.append(m.inputs[0]), m.raw_input_contents.append(b"")),
        INVALID,
        '"x" came twice',
    ),
    "datatype": (lambda m: setattr(m.inputs[0], "datatype", "INT32"), INVALID, '"x" is FP32, and INT32 came'),
    "unknown datatype": (lambda m: setattr(m.inputs[0], "datatype", "FP8"), INVALID, 'datatype "FP8"'),
    "rank": (lambda m: m.inputs[0].shape.append(1), INVALID, "has the shape [-1], and [2, 1] came"),
    "negative": (lambda m: m.inputs[0].shape.__setitem__(0, -2), INVALID, "a size is 0 or more"),
    "longer shape": (
        lambda m: m.inputs[0].shape.__setitem__(0, 3),
        INVALID,
        "8 bytes came, and [3] of FP32 are 12",
    ),
    "no raw": (
        lambda m: m.ClearField("raw_input_contents"),
        INVALID,
        "0 values came, and the shape [2] has 2",
    ),
    "surplus raw": (lambda m: m.raw_input_contents.append(b""), INVALID, "has 2 entries for 1 inputs"),
    "raw too short": (lambda m: m.raw_input_contents.__setitem__(0, b"1234567"), INVALID, "7 bytes came"),
    "raw and contents": (both, INVALID, "has contents beside raw_input_contents"),
    "field": (lambda m: typed(m, "int64_contents", 1, 2), INVALID, "belong into fp32_contents"),
    "too few": (lambda m: typed(m, "fp32_contents", 1), INVALID, "1 values came, and the shape [2] has 2"),
    "range": (
        lambda m: typed(m, "int_contents", 1, 128, datatype="INT8", signature="type_int8"),
        INVALID,
        "out of the range of INT8",
    ),
    "half typed": (
        lambda m: typed(m, "fp32_contents", 1, 2, datatype="FP16", signature="type_float16"),
        INVALID,
        "FP16 has no typed contents",
    ),
    "bool": (signed("bool", "BOOL", b"\1\2"), INVALID, "a byte of BOOL is 0 or 1"),
    "strings cut short": (
        signed("string", "BYTES", b"\1\0\0\0a\5\0\0\0b"),
        INVALID,
        "string 1 of 2 reaches beyond",
    ),
    "length cut short": (
        signed("string", "BYTES", b"\4\0\0\0abcd\5"),
        INVALID,
        "string 1 of 2 reaches beyond",
    ),
    "strings left over": (signed("string", "BYTES", b"\0\0\0\0\0\0\0\0c"), INVALID, "1 bytes are left over"),
    "few strings": (signed("string", "BYTES", b"\0\0\0\0"), INVALID, "too few for 2 strings"),
    "output": (lambda m: m.outputs.add(name="z"), INVALID, 'no output "z": the outputs are y'),
    "output twice": (
        lambda m: (m.outputs.add(name="y"), m.outputs.add(name="y")),
        INVALID,
        "asked for twice",
    ),
    "complex": (
        lambda m: setattr(m.parameters["signature_name"], "string_param", "type_complex64"),
        INVALID,
        '"x" is COMPLEX64, and FP32 came',
    ),
    "shared memory": (
        lambda m: setattr(m.inputs[0].parameters["shared_memory_region"], "string_param", "r"),
        INVALID,
        "an extension that this server has not",
    ),
    "classification": (
        lambda m: setattr(m.outputs.add(name="y").parameters["classification"], "int64_param", 3),
        INVALID,
        "an extension that this server has not",
    ),
    "dimensions": (
        lambda m: (signed("float32", "FP32", b"")(m), m.inputs[0].shape.extend([1] * 70)),
        INVALID,
        "has 71 dimensions: a tensor has at most 64",
    ),
    "too large": (
        lambda m: (signed("float32", "FP32", b"")(m), m.inputs[0].shape.extend([2**40, 2**40, 0])),
        INVALID,
        "no tensor is so large",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_bad_call_has_its_status_and_a_sentence(name: str, channel: grpc.Channel) -> None:
    change, code, text = CALLS[name]
    message = infer_message(X, raw=True)
    change(message)
    found = failure(channel, message)
    assert (found[0], text in found[1]) == (code, True), found
    assert "\n" not in found[1]


@pytest.mark.parametrize(("model", "version"), [("", ""), ("no", ""), ("toy", "7"), ("toy", "canary")])
def test_metadata_of_what_is_not_there(
    model: str, version: str, channel: grpc.Channel, server: Address
) -> None:
    with pytest.raises(grpc.RpcError) as error:
        call(channel, "ModelMetadata", name=model, version=version)
    assert error.value.code() == (NOT_FOUND if model else INVALID)
    path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "")
    answer = ask(server.rest, path)
    assert answer.status == 404
    assert answer.error


def document(**changed: Any) -> bytes:
    """A good JSON document with some keys exchanged, or left out."""
    base = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]} | changed
    return json.dumps({key: value for key, value in base.items() if value is not None}).encode()


def tensor(**changed: Any) -> bytes:
    """The same, with keys of the input exchanged, or left out."""
    base = {"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]} | changed
    return document(inputs=[{key: value for key, value in base.items() if value is not None}])


def typed_tensor(kind: str, **changed: Any) -> bytes:
    return document(
        parameters={"signature_name": f"type_{kind}"}, inputs=[{"name": "x", "shape": [2], **changed}]
    )


BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "JSON"),
    "no JSON": (b"{", "JSON"),
    "a list": (b"[]", "Is not object"),
    "inputs missing": (document(inputs=None), '"inputs" must be a list of objects'),
    "inputs no list": (document(inputs={}), '"inputs" must be a list of objects'),
    "inputs no objects": (document(inputs=[1]), '"inputs" must be a list of objects'),
    "no inputs": (document(inputs=[]), '"x" is missing'),
    "outputs": (document(outputs="y"), '"outputs" must be a list of objects'),
    "output": (document(outputs=[{"name": "z"}]), 'no output "z"'),
    "output without a name": (document(outputs=[{}]), '"name" must be a string'),
    "output twice": (document(outputs=[{"name": "y"}, {"name": "y"}]), "asked for twice"),
    "id": (document(id=7), "id must be a string"),
    "id in no UTF-8": (b'{"id": "\xff", ' + document()[1:], "id must be a string, in UTF-8"),
    "parameters": (document(parameters=[]), "parameters must be an object"),
    "parameter": (document(parameters={"a": {}}), '"a" must be a bool, a number or a string'),
    "signature": (document(parameters={"signature_name": "no"}), 'no signature "no"'),
    "signature's type": (document(parameters={"signature_name": 1}), "signature_name must be a string"),
    "binary_data_output": (document(parameters={"binary_data_output": 1}), "must be true or false"),
    "binary_data": (
        document(outputs=[{"name": "y", "parameters": {"binary_data": "yes"}}]),
        "must be true or false",
    ),
    "name": (tensor(name=1), '"name" must be a string'),
    "unknown name": (tensor(name="z"), 'no input "z"'),
    "datatype missing": (tensor(datatype=None), '"datatype" must be a string'),
    "datatype": (tensor(datatype="INT32"), '"x" is FP32, and INT32 came'),
    "unknown datatype": (tensor(datatype="float"), 'datatype "float"'),
    "shape missing": (tensor(shape=None), '"shape" must be a list of whole numbers'),
    "shape": (tensor(shape=[2.0]), '"shape" must be a list of whole numbers'),
    "negative": (tensor(shape=[-1]), "a size is 0 or more"),
    "rank": (tensor(shape=[2, 1]), "has the shape [-1], and [2, 1] came"),
    "no data": (tensor(data=None), "neither data nor the parameter binary_data_size"),
    "data is no list": (tensor(data=1), "must be a list of numbers"),
    "data of another type": (tensor(data=["1", "2"]), "must be a list of numbers"),
    "ragged": (tensor(data=[[1], 2]), "must be a list of numbers"),
    "too few data": (
        tensor(data=[1]),
        "the data have the shape [1], and [2] or a flat list of 2 was expected",
    ),
    "nested otherwise": (tensor(data=[[1, 2]]), "the data have the shape [1, 2]"),
    "huge shape": (tensor(shape=[2**62]), "no tensor is so large"),
    "size beyond 64 bits": (tensor(shape=[2**70]), "whole numbers"),
    "data and size": (tensor(parameters={"binary_data_size": 8}), "send one of the two"),
    "size without a header": (tensor(data=None, parameters={"binary_data_size": 8}), "0 bytes are left"),
    "size's type": (tensor(data=None, parameters={"binary_data_size": "8"}), "a whole number of bytes"),
    "negative size": (tensor(data=None, parameters={"binary_data_size": -8}), "a whole number of bytes"),
    "shared memory": (
        tensor(parameters={"shared_memory_region": "r"}),
        "an extension that this server has not",
    ),
    "fraction": (typed_tensor("int32", datatype="INT32", data=[1, 2.5]), "whole numbers within INT32"),
    "range": (typed_tensor("uint8", datatype="UINT8", data=[1, 256]), "out of the range of UINT8"),
    "beyond 64 bits": (
        typed_tensor("int64", datatype="INT64", data=[1, 2**63]),
        "whole numbers within INT64",
    ),
    "half": (typed_tensor("float16", datatype="FP16", data=[1, 2]), "FP16 has no form in JSON"),
    "number for a text": (typed_tensor("string", datatype="BYTES", data=["a", 1]), "a list of strings"),
    "number for a bool": (typed_tensor("bool", datatype="BOOL", data=[True, 1]), "a list of true and false"),
    "half out": (document(parameters={"signature_name": "to_half"}), "FP16, which has no form in JSON"),
    "deep": (tensor(data=json.loads("[" * 150 + "]" * 150)), "Lists nested 150 deep"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_400_with_a_sentence(name: str, server: Address) -> None:
    body, text = BODIES[name]
    answer = ask(server.rest, INFER, body)
    assert (answer.status, text in answer.error) == (400, True), answer.document


HEADERS: dict[str, tuple[dict[str, str], str]] = {
    "beyond the body": ({HEADER: "100000"}, 'Inference-Header-Content-Length is "100000"'),
    "no number": ({HEADER: "ten"}, 'Inference-Header-Content-Length is "ten"'),
    "negative": ({HEADER: "-1"}, 'Inference-Header-Content-Length is "-1"'),
    "endless": ({HEADER: "9" * 5000}, "Inference-Header-Content-Length is"),
    "within the JSON": ({HEADER: "20"}, "JSON"),
    "nothing": ({HEADER: "0"}, "JSON"),
    "an unknown encoding": ({"Content-Encoding": "br"}, 'the content encoding "br"'),
    "no gzip": ({"Content-Encoding": "gzip"}, "is no gzip"),
    "no deflate": ({"Content-Encoding": "deflate"}, "is no deflate"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_lies(name: str, server: Address) -> None:
    changed, text = HEADERS[name]
    body, headers = infer_body(X, binary=True)
    answer = ask(server.rest, INFER, body, headers | changed)
    assert (answer.status, text in answer.error) == (400, True), answer.document


def test_binary_bodies_cut_short_or_too_long(server: Address) -> None:
    body, headers = infer_body(X, binary=True)
    assert "binary_data_size is 8, and 5 bytes are left" in ask(server.rest, INFER, body[:-3], headers).error
    assert "2 bytes are left over" in ask(server.rest, INFER, body + b"xx", headers).error
    assert (
        "cut short"
        in ask(server.rest, INFER, gzip.compress(body)[:-12], headers | {"Content-Encoding": "gzip"}).error
    )


def test_bytes_that_are_no_text_need_the_binary_form(server: Address) -> None:
    array = np.empty(1, object)
    array[0] = b"\xff"
    body, headers = infer_body({"x": array}, binary=True, signature="type_string")
    assert ask(server.rest, INFER, body, headers).tail == b"\1\0\0\0\xff"
    body, headers = infer_body(
        {"x": array}, binary=True, signature="type_string", parameters={"binary_data_output": False}
    )
    assert "no UTF-8" in ask(server.rest, INFER, body, headers).error


def test_more_strings_than_there_is_memory_for(server: Address) -> None:
    """Sixteen megabytes of empty strings would take twenty times as much."""
    head = json.loads(typed_tensor("string", datatype="BYTES", parameters={"binary_data_size": 16_000_000}))
    head["inputs"][0]["shape"] = [4_000_000]
    text = json.dumps(head).encode()
    answer = ask(server.rest, INFER, text + bytes(16_000_000), {HEADER: str(len(text))})
    assert (answer.status, "more than the memory that is left" in answer.error) == (429, True)


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/v2/models", "GET", 404),
        ("/v2/nothing", "GET", 404),
        ("/v2/models/toy/explain", "POST", 404),
        ("/v2/models/toy/versions//infer", "POST", 404),
        ("/v2/models/no/infer", "POST", 404),
        ("/v2/models/toy/versions/7/infer", "POST", 404),
        ("/v2/models/%zz/ready", "GET", 400),
        ("/v2/models/toy/infer", "GET", 405),
        ("/v2/models/toy/ready", "POST", 405),
        ("/v2/models/toy", "DELETE", 405),
    ],
)
def test_paths_and_methods(path: str, method: str, status: int, server: Address) -> None:
    answer = ask(server.rest, path, document() if method == "POST" else None, method=method)
    assert answer.status == status
    assert answer.error


NUMBERS = st.one_of(st.integers(-3, 5), st.sampled_from([2**31, 2**62, 2**63 - 1, -(2**63)]))
NAMES = st.sampled_from(["x", "y", "", "z", "ü"])
TYPES = st.sampled_from([*DTYPES, "FP8", ""])
SIGNATURES = st.sampled_from(
    ["", "type_float32", "type_string", "type_bool", "type_int8", "type_float16", "shapes", "no"]
)
SETTINGS = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def messages(draw: st.DrawFn) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name=draw(st.sampled_from(["toy", "toy", "toy", "no", ""])))
    message.model_version = draw(st.sampled_from(["", "", "1", "stable", "x"]))
    message.id = draw(st.text(max_size=3))
    message.parameters["signature_name"].string_param = draw(SIGNATURES)
    for _ in range(draw(st.integers(0, 2))):
        item = message.inputs.add(
            name=draw(NAMES), datatype=draw(TYPES), shape=draw(st.lists(NUMBERS, max_size=3))
        )
        for field in draw(st.lists(st.sampled_from(sorted(set(FIELDS.values()))), max_size=2)):
            value: Any = {"bool_contents": True, "bytes_contents": b"a"}.get(field, 1)
            getattr(item.contents, field).extend([value] * draw(st.integers(0, 3)))
    message.raw_input_contents.extend(draw(st.lists(st.binary(max_size=16), max_size=3)))
    for name in draw(st.lists(NAMES, max_size=2)):
        message.outputs.add(name=name)
    return message


@SETTINGS
@given(message=messages())
def test_no_message_is_a_mistake_of_the_server(message: pb.ModelInferRequest, channel: grpc.Channel) -> None:
    code, text = failure(channel, message)
    assert code in (grpc.StatusCode.OK, INVALID, NOT_FOUND), text


VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["b64", "name", "data"]), inner)
    ),
    max_leaves=6,
)
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES | VALUES,
        "datatype": TYPES | VALUES,
        "shape": st.lists(NUMBERS, max_size=3) | VALUES,
        "data": st.lists(NUMBERS, max_size=4) | VALUES,
        "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "binary_data", "other"]), NUMBERS)
        | VALUES,
    },
)
DOCUMENTS = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, max_size=2) | VALUES},
    optional={
        "id": st.text(max_size=3) | VALUES,
        "outputs": st.lists(TENSORS, max_size=2) | VALUES,
        "parameters": st.fixed_dictionaries({"signature_name": SIGNATURES}) | VALUES,
    },
)


@SETTINGS
@given(body=DOCUMENTS, tail=st.binary(max_size=12), size=st.integers(-2, 14))
def test_no_body_is_a_mistake_of_the_server(body: Any, tail: bytes, size: int, server: Address) -> None:
    head = json.dumps(body).encode()
    # The header is right for a size of 0, and lies for the others.
    answer = ask(server.rest, INFER, head + tail, {HEADER: str(len(head) + size)})
    assert answer.status in (200, 400, 404), answer.document


def test_bfloat16_is_refused_where_it_has_no_form(channel: grpc.Channel) -> None:
    array = np.ones(2, ml_dtypes.bfloat16)
    message = infer_message({"x": array}, raw=True, signature="type_bfloat16")
    typed(message, "fp32_contents", 1, 1, datatype="BF16")
    assert failure(channel, message)[0] == INVALID
