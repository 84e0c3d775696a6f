"""GRPCInferenceService."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from atelier_serving.grpc.method import Method, Services, plain
from atelier_serving.oip.infer_calls import InferCalls
from atelier_serving.oip.protos import open_inference_pb2 as pb
from atelier_serving.oip.served_models import EXTENSIONS, PLATFORM, SERVER, VERSION, ServedModels
from atelier_serving.oip.signature import TensorForm
from atelier_serving.status import Code, ServingError

SERVICE = "inference.GRPCInferenceService"


def inference_service(models: ServedModels) -> Services:
    """The methods of the service."""

    def live(request: pb.ServerLiveRequest) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    def ready(request: pb.ServerReadyRequest) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=models.ready())

    def server(request: pb.ServerMetadataRequest) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name=SERVER, version=VERSION, extensions=EXTENSIONS)

    def model_ready(request: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        return pb.ModelReadyResponse(ready=_is_ready(models, request.name, request.version))

    def model(request: pb.ModelMetadataRequest) -> pb.ModelMetadataResponse:
        told = models.metadata(request.name, request.version)
        return pb.ModelMetadataResponse(
            name=told.name,
            versions=told.versions,
            platform=PLATFORM,
            inputs=_tensors(told.inputs),
            outputs=_tensors(told.outputs),
        )

    calls = InferCalls(models)
    methods = (
        Method("ServerLive", plain(live), pb.ServerLiveRequest, pb.ServerLiveResponse),
        Method("ServerReady", plain(ready), pb.ServerReadyRequest, pb.ServerReadyResponse),
        Method("ModelReady", plain(model_ready), pb.ModelReadyRequest, pb.ModelReadyResponse),
        Method("ServerMetadata", plain(server), pb.ServerMetadataRequest, pb.ServerMetadataResponse),
        Method("ModelMetadata", plain(model), pb.ModelMetadataRequest, pb.ModelMetadataResponse),
        Method(
            "ModelInfer",
            plain(calls.infer),
            pb.ModelInferRequest,
            pb.ModelInferResponse,
            joinable=calls,
            keeps=True,
        ),
    )
    return {SERVICE: {method.name: method for method in methods}}


def _is_ready(models: ServedModels, name: str, version: str) -> bool:
    try:
        models.check_ready(name, version)
    except ServingError as error:
        if error.code in (Code.NOT_FOUND, Code.UNAVAILABLE):
            return False
        raise
    return True


def _tensors(forms: Sequence[TensorForm]) -> list[Any]:
    return [
        pb.ModelMetadataResponse.TensorMetadata(name=form.name, datatype=form.type_name, shape=form.sizes())
        for form in forms
    ]
