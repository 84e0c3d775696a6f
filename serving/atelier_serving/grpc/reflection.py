"""gRPC reflection, for `grpcurl host:port list` and `describe`."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

_MODULES = ("tensorflow_serving.apis.prediction_service_pb2", "tensorflow_serving.apis.model_service_pb2")


class _Reflection(reflection.ReflectionServicer):  # type: ignore[misc]  # the library has no types
    def ServerReflectionInfo(self, request_iterator: Iterator[Any], context: grpc.ServicerContext) -> Any:
        return super().ServerReflectionInfo(request_iterator, context)


def add_reflection(server: grpc.Server, services: Sequence[str]) -> None:
    """Add reflection of these services.

    A reflection stream occupies a thread as long as the client likes. So it has threads other than those of requests.
    """
    for module in _MODULES:
        # An old protoc generated these two modules. They register their services and then fail with a new protobuf.
        with contextlib.suppress(AttributeError):
            importlib.import_module(module)
    pool = ThreadPoolExecutor(2, thread_name_prefix="reflection")
    _Reflection.ServerReflectionInfo.experimental_thread_pool = pool  # type: ignore[attr-defined]
    names = (*services, reflection.SERVICE_NAME)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(_Reflection(names), server)
