"""The usual client loop, as TensorFlow Serving's examples have it: one image a request, with TensorFlow's own tools.

python -m benchmarks.usual_client HOST:PORT DATA_FOLDER
"""

import json
import sys
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


def main(target: str, data: Path) -> None:
    """Ask for every test image, one at a time; print the accuracy as JSON."""
    raw = (data / "fashion-mnist" / "t10k-images-idx3-ubyte").read_bytes()
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)
    labels = np.frombuffer(
        (data / "fashion-mnist" / "t10k-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8
    )
    with grpc.insecure_channel(target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        right = 0
        for image, label in zip(images, labels, strict=True):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "fashion"
            request.model_spec.signature_name = "serving_default"
            request.inputs["images"].CopyFrom(tf.make_tensor_proto(image[None], shape=[1, 28, 28]))
            answer = stub.Predict(request, timeout=10)
            right += int(tf.make_ndarray(answer.outputs["probabilities"]).argmax() == label)
    print(json.dumps({"accuracy": right / len(labels)}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
