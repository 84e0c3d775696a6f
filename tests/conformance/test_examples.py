"""Classify, Regress and MultiInference over gRPC, one row a fact."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.message import Message
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tests.support.wire import (
    INVALID,
    NOT_FOUND,
    UNIMPLEMENTED,
    classify_request,
    example,
    multi_request,
    refusal,
    regress_request,
)

ONE, TWO = example(value=0.25), example(value=1.5)
CLASSIFY, REGRESS = {"signature": "classify"}, {"signature": "regress"}

CLASSIFY_REFUSED = {
    "no model spec": (classification_pb2.ClassificationRequest(), INVALID, "Missing ModelSpec"),
    "no name": (classify_request(ONE, name=""), INVALID, "ModelSpec has no name specified."),
    "unknown model": (
        classify_request(ONE, name="nix"),
        NOT_FOUND,
        "Servable not found for request: Latest(nix)",
    ),
    "unknown version": (
        classify_request(ONE, version=4),
        NOT_FOUND,
        "Servable not found for request: Specific(toy, 4)",
    ),
    "unknown label": (
        classify_request(ONE, label="x"),
        INVALID,
        "Unrecognized servable version label: x",
    ),
    "unknown signature": (
        classify_request(ONE, signature="nix"),
        INVALID,
        "No signature was found with the name: nix",
    ),
    "no input": (classify_request(**CLASSIFY), INVALID, "Input is empty."),
    "no examples": (classify_request(context=ONE, **CLASSIFY), INVALID, "Input is empty."),
    "two inputs": (classify_request(ONE, signature="echo"), INVALID, "Expected one input Tensor."),
    "three outputs": (
        classify_request(ONE, signature="classify_three"),
        INVALID,
        "Expected one or two output Tensors, found 3",
    ),
    "flat scores": (
        classify_request(ONE, signature="classify_flat"),
        INVALID,
        "Expected Tensor shape: [batch_size num_classes] but got [1]",
    ),
    "classes that are numbers": (
        classify_request(ONE, signature="classify_wrong_classes"),
        INVALID,
        "Expected classes Tensor of DT_STRING. Got: DT_FLOAT",
    ),
    "scores that are strings": (
        classify_request(ONE, signature="classify_wrong_scores"),
        INVALID,
        "Expected scores Tensor of DT_FLOAT. Got: DT_STRING",
    ),
    "more classes than scores": (
        classify_request(ONE, signature="classify_unpaired"),
        INVALID,
        "Tensors class and score should match in dim_size(1). Got 2 vs. 1",
    ),
    "rows lost": (
        classify_request(ONE, TWO, signature="classify_short"),
        INVALID,
        "Expected scores output batch size of 2. Got: 1",
    ),
}
CLASSIFY_REFUSED_WITH_THE_SIGNATURE = {
    "input renamed": ("classify_no_inputs", "No classification inputs found in SignatureDef: "),
    "outputs renamed": (
        "classify_renamed",
        'Expected classification signature outputs to contain at least one of "classes" or "scores". '
        "Signature was: ",
    ),
}
REGRESS_REFUSED = {
    "no model spec": (regression_pb2.RegressionRequest(), INVALID, "Missing ModelSpec"),
    "unknown model": (
        regress_request(ONE, name="nix"),
        NOT_FOUND,
        "Servable not found for request: Latest(nix)",
    ),
    "unknown signature": (
        regress_request(ONE, signature="nix"),
        INVALID,
        "No signature was found with the name: nix",
    ),
    "no input": (regress_request(**REGRESS), INVALID, "Input is empty."),
    "two inputs": (regress_request(ONE, signature="echo"), INVALID, "Expected one input Tensor."),
    "two outputs": (regress_request(ONE, signature="regress_two"), INVALID, "Expected one output Tensor."),
    "wide outputs": (
        regress_request(ONE, TWO, signature="regress_wide"),
        INVALID,
        "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [2,2]",
    ),
    "whole numbers": (
        regress_request(ONE, signature="regress_integers"),
        INVALID,
        "Expected output Tensor of DT_FLOAT.  Got: DT_INT64",
    ),
    "rows lost": (
        regress_request(ONE, TWO, signature="regress_short"),
        INVALID,
        "Input batch size did not match output batch size: 2 vs. 1",
    ),
}
REGRESS_REFUSED_WITH_THE_SIGNATURE = {
    "input renamed": ("regress_no_inputs", "No regression inputs found in SignatureDef: "),
    "output renamed": ("regress_renamed", "No regression outputs found in SignatureDef: "),
}
MULTI_REFUSED = {
    "no tasks": (multi_request([], ONE), INVALID, "ModelSpec has no name specified."),
    "no model spec": (
        multi_request([("classify", {"name": None})], ONE),
        INVALID,
        "ModelSpec has no name specified.",
    ),
    "no name": (
        multi_request([("classify", {"name": ""})], ONE),
        INVALID,
        "ModelSpec has no name specified.",
    ),
    "unknown model": (
        multi_request([("classify", {"name": "nix"})], ONE),
        NOT_FOUND,
        "Servable not found for request: Latest(nix)",
    ),
    "unknown version": (
        multi_request([("classify", {"version": 3, **CLASSIFY})], ONE),
        NOT_FOUND,
        "Servable not found for request: Specific(toy, 3)",
    ),
    "no name in the second task": (
        multi_request([("classify", CLASSIFY), ("regress", {"name": ""})], ONE),
        INVALID,
        "Found ModelSpec with an empty model name.",
    ),
    "two models": (
        multi_request([("classify", CLASSIFY), ("regress", {"name": "other"})], ONE),
        INVALID,
        "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
    ),
    "one signature twice": (
        multi_request([("classify", CLASSIFY), ("classify", CLASSIFY)], ONE),
        INVALID,
        "Duplicate evaluation of signature: classify",
    ),
    "unknown signature": (
        multi_request([("classify", {"signature": "nix"})], ONE),
        INVALID,
        "Requested signature not found in model graph: nix",
    ),
    "unknown method": (
        multi_request([("predict", CLASSIFY)], ONE),
        UNIMPLEMENTED,
        "Unsupported signature method_name: tensorflow/serving/predict",
    ),
    "two input tensors": (
        multi_request([("classify", CLASSIFY), ("regress", {"signature": "type_float32"})], ONE),
        INVALID,
        "No regression inputs found in SignatureDef: ",
    ),
    "no input": (multi_request([("classify", CLASSIFY)]), INVALID, "Input is empty."),
}


@pytest.mark.parametrize(("message", "code", "text"), CLASSIFY_REFUSED.values(), ids=CLASSIFY_REFUSED)
def test_a_refused_classification_has_its_code_and_text(
    prediction: PredictionServiceStub, message: Message, code: grpc.StatusCode, text: str
) -> None:
    assert refusal(prediction.Classify, message) == (code, text)


@pytest.mark.parametrize(("message", "code", "text"), REGRESS_REFUSED.values(), ids=REGRESS_REFUSED)
def test_a_refused_regression_has_its_code_and_text(
    prediction: PredictionServiceStub, message: Message, code: grpc.StatusCode, text: str
) -> None:
    assert refusal(prediction.Regress, message) == (code, text)


@pytest.mark.parametrize(("message", "code", "text"), MULTI_REFUSED.values(), ids=MULTI_REFUSED)
def test_a_refused_multi_inference_has_its_code_and_text(
    prediction: PredictionServiceStub, message: Message, code: grpc.StatusCode, text: str
) -> None:
    got, whole = refusal(prediction.MultiInference, message)
    assert got == code
    # A text that ends with a blank goes on with the signature, in protobuf's own layout.
    assert whole.startswith(text) if text.endswith(": ") else whole == text


@pytest.mark.parametrize(
    ("signature", "start"),
    CLASSIFY_REFUSED_WITH_THE_SIGNATURE.values(),
    ids=CLASSIFY_REFUSED_WITH_THE_SIGNATURE,
)
def test_a_signature_that_is_no_classification_is_shown(
    prediction: PredictionServiceStub, signature: str, start: str
) -> None:
    code, text = refusal(prediction.Classify, classify_request(ONE, signature=signature))
    assert code == INVALID
    assert text.startswith(start)
    assert "examples_inputs:0" in text


@pytest.mark.parametrize(
    ("signature", "start"),
    REGRESS_REFUSED_WITH_THE_SIGNATURE.values(),
    ids=REGRESS_REFUSED_WITH_THE_SIGNATURE,
)
def test_a_signature_that_is_no_regression_is_shown(
    prediction: PredictionServiceStub, signature: str, start: str
) -> None:
    code, text = refusal(prediction.Regress, regress_request(ONE, signature=signature))
    assert code == INVALID
    assert text.startswith(start)
    assert "examples_inputs:0" in text


@pytest.mark.parametrize(
    ("signature", "pairs"),
    [
        ("classify", [("small", 0.5), ("large", 0.5)]),
        ("classify_classes", [("small", 0.0), ("large", 0.0)]),
        ("classify_scores", [("", 0.5), ("", 0.5)]),
    ],
)
def test_classes_and_scores_are_paired(
    prediction: PredictionServiceStub, signature: str, pairs: list[tuple[str, float]]
) -> None:
    answer = prediction.Classify(classify_request(ONE, signature=signature), timeout=10)
    (row,) = answer.result.classifications
    assert [(entry.label, entry.score) for entry in row.classes] == pairs


@pytest.mark.parametrize("signature", ["regress", "regress_flat"])
def test_a_regression_gives_a_value_per_example(prediction: PredictionServiceStub, signature: str) -> None:
    answer = prediction.Regress(regress_request(ONE, TWO, signature=signature), timeout=10)
    assert [entry.value for entry in answer.result.regressions] == [0.5, 3.0]


def test_the_context_is_added_to_every_example(prediction: PredictionServiceStub) -> None:
    message = regress_request(ONE, example(bonus=1, value=0.5), context=example(bonus=7), **REGRESS)
    answer = prediction.Regress(message, timeout=10)
    assert [entry.value for entry in answer.result.regressions] == [7.5, 2.0]


def test_several_tasks_are_answered_in_their_order(prediction: PredictionServiceStub) -> None:
    message = multi_request([("regress", {"version": 1, **REGRESS}), ("classify", CLASSIFY)], ONE, TWO)
    first, second = prediction.MultiInference(message, timeout=10).results
    for result, signature in ((first, "regress"), (second, "classify")):
        named = result.model_spec
        assert (named.name, named.version.value, named.signature_name) == ("toy", 1, signature)
        assert not named.HasField("version_label")
    assert [entry.value for entry in first.regression_result.regressions] == [0.5, 3.0]
    assert [row.classes[0].score for row in second.classification_result.classifications] == [0.5, 3.0]


def test_tasks_whose_signatures_have_inputs_of_their_own_are_answered(
    prediction: PredictionServiceStub,
) -> None:
    """As in every TF2 SavedModel; TensorFlow Serving dropped the check in 2020 (abb8d3b5)."""
    apart = {"signature": "regress_apart"}
    for tasks in ([("regress", apart), ("classify", CLASSIFY)], [("classify", CLASSIFY), ("regress", apart)]):
        results = prediction.MultiInference(multi_request(tasks, ONE, TWO), timeout=10).results
        found = {result.model_spec.signature_name: result for result in results}
        regressed = found["regress_apart"].regression_result.regressions
        assert [entry.value for entry in regressed] == [0.5, 3.0]
        classified = found["classify"].classification_result.classifications
        assert [row.classes[0].score for row in classified] == [0.5, 3.0]


def test_only_the_first_tasks_version_is_used(prediction: PredictionServiceStub) -> None:
    message = multi_request([("regress", REGRESS), ("classify", {"version": 9, **CLASSIFY})], ONE)
    answer = prediction.MultiInference(message, timeout=10)
    assert [result.model_spec.version.value for result in answer.results] == [1, 1]


@pytest.mark.parametrize("label", [None, "stable"])
def test_the_answer_names_the_version_and_signature_that_answered(
    prediction: PredictionServiceStub, label: str | None
) -> None:
    classified = prediction.Classify(classify_request(ONE, label=label, **CLASSIFY), timeout=10).model_spec
    regressed = prediction.Regress(regress_request(ONE, label=label, **REGRESS), timeout=10).model_spec
    for named, signature in ((classified, "classify"), (regressed, "regress")):
        assert (named.name, named.version.value, named.signature_name) == ("toy", 1, signature)
        assert not named.HasField("version_label")


def test_an_example_that_does_not_parse_is_the_runtimes_to_refuse(prediction: PredictionServiceStub) -> None:
    # The features are there, but of another type.
    code, text = refusal(prediction.Regress, regress_request(example(value=b"text"), **REGRESS))
    assert code == INVALID
    assert "Data types don't match" in text
    # Bytes that are no Example at all, and no UTF-8 either, in the runtime's text.
    message = regress_request(example(value=0.5), **REGRESS)
    broken = message.SerializeToString().replace(b"value\x12", b"value\xb1")
    code, text = refusal(prediction.Regress, regression_pb2.RegressionRequest.FromString(broken))
    assert code == INVALID
    assert "Could not parse example input, value: '" in text
    assert input_pb2.Input.DESCRIPTOR.full_name == "tensorflow.serving.Input"
