"""Reads those text protos of TensorFlow Serving whose messages are missing in tensorflow-serving-api.

Fields: servables/tensorflow/session_bundle_config.proto, config/ssl_config.proto and config/monitoring_config.proto at
2.20.0. The field numbers are this file's own. They may differ from TensorFlow Serving's, because only text is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from atelier_serving.status import Code, ServingError, invalid

_TYPES = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"int64": _TYPES.TYPE_INT64, "bool": _TYPES.TYPE_BOOL, "string": _TYPES.TYPE_STRING}
# For each message: field name to type. A type that starts with a capital is another message; `*` means repeated.
_MESSAGES = {
    "Int64Value": {"value": "int64"},
    "BoolValue": {"value": "bool"},
    "StringValue": {"value": "string"},
    "BatchingParameters": {
        "max_batch_size": "Int64Value",
        "batch_timeout_micros": "Int64Value",
        "max_enqueued_batches": "Int64Value",
        "num_batch_threads": "Int64Value",
        "thread_pool_name": "StringValue",
        "allowed_batch_sizes": "*int64",
        "pad_variable_length_inputs": "bool",
        "enable_large_batch_splitting": "BoolValue",
        "max_execution_batch_size": "Int64Value",
    },
    "SSLConfig": {
        "server_key": "string",
        "server_cert": "string",
        "custom_ca": "string",
        "client_verify": "bool",
    },
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": "PrometheusConfig"},
}


def read_text_proto(path: Path, message: str) -> Any:
    """The message in a file: "BatchingParameters", "SSLConfig" or "MonitoringConfig". Raises `ServingError`."""
    parsed = message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"atelier.{message}"))()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), parsed)
    except OSError as error:
        raise ServingError(Code.NOT_FOUND, f"{path}; {error.strerror}") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise invalid(f"Invalid protobuf file: '{path}' ({error})") from None
    return parsed


def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="settings.proto", package="atelier", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            entry = message.field.add(name=field, number=number, label=_TYPES.LABEL_OPTIONAL)
            if kind.startswith("*"):
                entry.label = _TYPES.LABEL_REPEATED
                kind = kind[1:]
            if kind in _SCALARS:
                entry.type = _SCALARS[kind]
            else:
                entry.type = _TYPES.TYPE_MESSAGE
                entry.type_name = f".atelier.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool
