"""TensorFlow Serving's two services."""

from __future__ import annotations

from typing import Any

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from atelier_serving.grpc.method import Call, Method, Services, plain
from atelier_serving.inference.api import Api

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"


def tensorflow_services(api: Api) -> Services:
    """The methods of each service by name."""

    def reload(request: Any, call: Call) -> Any:
        return api.reload(request, call.is_active)

    classify = classification_pb2
    regress = regression_pb2
    metadata = get_model_metadata_pb2
    status = get_model_status_pb2
    prediction = (
        Method(
            "Predict",
            plain(api.predict),
            predict_pb2.PredictRequest,
            predict_pb2.PredictResponse,
            joinable=api,
        ),
        Method(
            "Classify",
            plain(api.classify),
            classify.ClassificationRequest,
            classify.ClassificationResponse,
        ),
        Method("Regress", plain(api.regress), regress.RegressionRequest, regress.RegressionResponse),
        Method(
            "MultiInference",
            plain(api.multi_inference),
            inference_pb2.MultiInferenceRequest,
            inference_pb2.MultiInferenceResponse,
        ),
        Method(
            "GetModelMetadata",
            plain(api.metadata),
            metadata.GetModelMetadataRequest,
            metadata.GetModelMetadataResponse,
        ),
    )
    model = (
        Method(
            "GetModelStatus",
            plain(api.status),
            status.GetModelStatusRequest,
            status.GetModelStatusResponse,
        ),
        Method(
            "HandleReloadConfigRequest",
            reload,
            model_management_pb2.ReloadConfigRequest,
            model_management_pb2.ReloadConfigResponse,
        ),
    )
    services = {PREDICTION_SERVICE: prediction, MODEL_SERVICE: model}
    return {service: {method.name: method for method in methods} for service, methods in services.items()}
