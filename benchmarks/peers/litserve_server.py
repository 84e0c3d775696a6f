"""The model behind LitServe, batching as its documentation shows. python litserve_server.py SAVED_MODEL PORT"""

import sys

import litserve
import numpy as np


class Classifier(litserve.LitAPI):
    """`{"image": 28 x 28 numbers}` in, the ten probabilities out."""

    def setup(self, device):
        """Load the model in the worker."""
        import tensorflow as tf

        self.model = tf.saved_model.load(sys.argv[1])
        self.call = self.model.signatures["serving_default"]
        self.constant = tf.constant

    def decode_request(self, request):
        """JSON to array."""
        return np.array(request["image"], np.uint8)

    def predict(self, batch):
        """A stack of images."""
        return self.call(images=self.constant(batch))["probabilities"].numpy()

    def encode_response(self, output):
        """Array to JSON."""
        return {"probabilities": output.tolist()}


if __name__ == "__main__":
    api = Classifier(max_batch_size=64, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, track_requests=False)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="error")
