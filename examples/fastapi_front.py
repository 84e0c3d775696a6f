"""A web service of your own before the model server: FastAPI, with one AsyncClient for all requests.

    make up JOB=imdb-l2
    make venv                                # .venv with the client, FastAPI and uvicorn
    ATELIER_MODEL=imdb .venv/bin/uvicorn --app-dir examples fastapi_front:app --port 8080
    curl -s -d '{"text": ["A film to remember."]}' -H 'Content-Type: application/json' 127.0.0.1:8080/predict

The names of the inputs are the served model's own; ATELIER_TARGET and ATELIER_MODEL say which server and model.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from atelier_client import AsyncClient, ClientError
from atelier_client.errors import (
    InputError,
    InvalidRequest,
    ModelNotFound,
    NotReachable,
    Overloaded,
    TimedOut,
)
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

# The first class that fits decides; what is in none of them is the fault of the server behind us.
STATUS_CODES: dict[type[ClientError], int] = {
    InputError: 422,
    InvalidRequest: 422,
    ModelNotFound: 404,
    Overloaded: 503,
    NotReachable: 503,
    TimedOut: 504,
}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the client inside the event loop that will use it, once: its connections are shared by all requests."""
    target = os.environ.get("ATELIER_TARGET", "127.0.0.1:8500")
    async with AsyncClient(target, os.environ.get("ATELIER_MODEL", "fashion"), timeout=5) as client:
        app.state.client = client
        yield


app = FastAPI(title="A front for a served model", lifespan=lifespan)


@app.exception_handler(ClientError)
async def explain(request: Request, error: ClientError) -> JSONResponse:
    """Turn the client's errors into HTTP statuses; their texts are written for users."""
    status = next((code for kind, code in STATUS_CODES.items() if isinstance(error, kind)), 502)
    return JSONResponse({"detail": str(error)}, status_code=status)


@app.post("/predict")
async def predict(inputs: dict[str, Any], request: Request) -> dict[str, Any]:
    """Answer `label` and the highest of the `probabilities` for rows given by input name."""
    client: AsyncClient = request.app.state.client
    answer = await client.predict(inputs, outputs=["label", "probabilities"])
    return {
        "version": answer.versions[0],
        "labels": [label.decode() for label in answer["label"]],
        "confidence": [float(row.max()) for row in answer["probabilities"]],
    }
