"""The model behind FastAPI, as its tutorials do it. python fastapi_server.py SAVED_MODEL PORT"""

import sys

import keras
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
layer = keras.layers.TFSMLayer(sys.argv[1], call_endpoint="serving_default")
# A graph, not op by op: the fastest way to call a Keras layer.
model = keras.Sequential([keras.Input((28, 28), dtype="uint8"), layer])


class Request(BaseModel):
    """One image."""

    image: list[list[int]]


@app.post("/predict")
def predict(request: Request) -> dict:
    """`{"image": 28 x 28 numbers}` in, the ten probabilities out."""
    outputs = model(np.array([request.image], np.uint8), training=False)
    return {"probabilities": outputs["probabilities"].numpy()[0].tolist()}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
