"""What is told of the server itself, over HTTP. These pages never wait."""

from __future__ import annotations

from atelier_serving.oip.served_models import EXTENSIONS, SERVER, VERSION, ServedModels
from atelier_serving.rest.answer import Answer, json_answer
from atelier_serving.rest.server import Pages


def inference_pages(models: ServedModels) -> Pages:
    """`/v2`, and the health of the server. One that is not ready answers 503, as KServe's servers do."""

    def ready(host: str) -> Answer:
        state = models.ready()
        return json_answer(200 if state else 503, {"ready": state})

    def server(host: str) -> Answer:
        return json_answer(200, {"name": SERVER, "version": VERSION, "extensions": list(EXTENSIONS)})

    return {
        "/v2": server,
        "/v2/": server,
        "/v2/health/live": lambda host: json_answer(200, {"live": True}),
        "/v2/health/ready": ready,
    }
