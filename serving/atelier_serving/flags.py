"""TensorFlow Serving's flags: same names, same defaults, same forms (`--port=8500`, `--port 8500`).

Source: model_servers/main.cc of TensorFlow Serving 2.20.0.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from atelier_serving.grpc.front import AUTO, CHOICES, GRPCIO, NATIVE, ListenSettings, without_native
from atelier_serving.log import FORMATS, TEXT
from atelier_serving.monitoring.log_settings import LogSettings, read_log_settings
from atelier_serving.status import ServingError, invalid


@dataclass
class Flags:
    """The flags of this server. The type of a flag is that of its default."""

    host: str = "127.0.0.1"
    port: int = 8500
    rest_api_port: int = 0
    rest_api_enable_cors_support: bool = False
    model_name: str = "default"
    model_base_path: str = ""
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: float = 0.0
    file_system_poll_wait_seconds: float = 1.0
    allow_version_labels_for_unavailable_models: bool = False
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    saved_model_tags: str = "serve"
    grpc_max_threads: int = 0
    enable_batching: bool = False
    batching_parameters_file: str = ""
    enable_per_model_batching_parameters: bool = False
    monitoring_config_file: str = ""
    ssl_config_file: str = ""
    grpc_socket_path: str = ""
    grpc_channel_arguments: str = ""
    reload_from: str = ""
    verify_manifest: bool = False
    rest_api_timeout_in_ms: int = 30_000
    workers: int = 1
    grpc_front: str = AUTO
    join_bursts: bool = True
    access_log_file: str = ""
    log_format: str = TEXT
    request_log_dir: str = ""
    request_log_sampling_rate: float = 0.01
    request_log_max_bytes: str = "1GB"
    request_log_max_age_seconds: float = 30 * 86400.0
    request_log_redact: str = ""
    enable_model_warmup: bool = True
    num_request_iterations_for_warmup: int = 0
    enable_signature_method_name_check: bool = False
    enable_serialization_as_tensor_content: bool = False
    version: bool = False


# This server's own flags.
_OWN = {
    "host": "the address to listen on; 0.0.0.0 for all, which is TensorFlow Serving's way and the image's",
    "reload_from": "a folder: HandleReloadConfigRequest may name only models within it",
    "verify_manifest": "load only versions whose files have the digests that their model card gives",
    "workers": "so many processes share the ports, each with the models in its memory",
    "grpc_front": "grpcio has everything, native is fast and has no TLS; auto takes native where it can",
    "join_bursts": "small Predict requests that have arrived together run at once: over REST, and the native front",
    "access_log_file": "a line of JSON for each request; - is standard output",
    "log_format": "the server's own log on standard error: text, or json for a JSON object a line",
    "request_log_dir": "where a sample of the requests is kept with their answers, as PredictionLog TFRecords",
    "request_log_sampling_rate": "the part of the requests that is kept, 0 to 1",
    "request_log_max_bytes": "what the kept ones may have together, such as 500MB or 2GiB; the oldest go first",
    "request_log_max_age_seconds": "older ones are deleted",
    "request_log_redact": "names of inputs, outputs and features that are not kept, with commas between",
}
# Accepted without effect, because this server always works as they ask.
IMPLIED = {
    "num_load_threads": "each load has a thread of its own",
    "num_unload_threads": "each unload has a thread of its own",
    "enable_grpc_healthcheck_service": "the health service is always on",
    "flush_filesystem_caches": "nothing is cached between loads",
    "rest_api_num_threads": "REST requests share the threads of gRPC",
    "enable_profiler": "there is no profiler service",
    "remove_unused_fields_from_bundle_metagraph": "an optimization of memory",
}
# Flags of TensorFlow Serving that change its behavior and that this server does not have. It refuses them, because
# ignoring them would be a silent difference.
REFUSED = (
    "use_alts_credentials",
    "platform_config_file",
    "tensorflow_session_config_file",
    "per_process_gpu_memory_fraction",
    "prefer_tflite_model",
    "num_tflite_pools",
    "mixed_precision",
    "num_tflite_interpreters_per_pool",
    "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled",
    "thread_pool_factory_config_file",
    "skip_initialize_tpu",
)


def usage() -> str:
    """The text of `--help`."""
    lines = [
        "usage: atelier-serving [flags]",
        "",
        "Serves SavedModels over TensorFlow Serving's gRPC and REST.",
        "",
        "  atelier-serving --model_name=fashion --model_base_path=$PWD/models/fashion --rest_api_port=8501",
        "  atelier-serving --model_config_file=models/models.config --model_config_file_poll_wait_seconds=2",
        "",
        "Flags (TensorFlow Serving's own, but for those with a text):",
    ]
    lines += [
        f"  --{field.name}={field.default!s:<12} {type(field.default).__name__} {_OWN.get(field.name, '')}".rstrip()
        for field in fields(Flags)
    ]
    return "\n".join(lines)


def parse(arguments: Sequence[str]) -> Flags:
    """Read the command line. Raises `ServingError` for a malformed or refused flag.

    An unknown flag is reported and skipped, as TensorFlow Serving does (main.cc:333-335).
    """
    flags = Flags()
    known = {field.name: type(field.default) for field in fields(Flags)}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.lstrip("-").partition("=")
        if not argument.startswith("--") or name not in {*known, *IMPLIED, *REFUSED}:
            print(f"unknown argument: {argument}\n{usage()}", file=sys.stderr)
            continue
        if not equals:
            takes_next = known.get(name) is not bool and rest and not rest[0].startswith("--")
            value = rest.pop(0) if takes_next else "true"
        if name in REFUSED:
            raise invalid(
                f"--{name} is a flag of TensorFlow Serving that atelier-serving does not have; remove it."
            )
        if name in known:
            setattr(flags, name, _value(name, known[name], value))
    return flags


def command_line(flags: Flags) -> list[str]:
    """Command-line arguments that `parse` turns into these flags."""
    values = {field.name: getattr(flags, field.name) for field in fields(Flags)}
    return [f"--{name}={value}" for name, value in values.items() if value != getattr(Flags, name)]


def threads(flags: Flags) -> int:
    """How many requests run at a time: --grpc_max_threads, by default 4 per core as in TensorFlow Serving.

    With batching the default is 64, because each request of a batch occupies a thread while it waits.
    """
    return flags.grpc_max_threads or (64 if flags.enable_batching else 4 * (os.cpu_count() or 1))


def validated(flags: Flags) -> Flags:
    """Check what TensorFlow Serving checks at start (server.cc). Raises `ServingError`."""
    if not flags.model_base_path and not flags.model_config_file:
        raise invalid("Both server_options.model_base_path and server_options.model_config_file are empty!")
    if not flags.port and not flags.grpc_socket_path:
        raise invalid("--port=0 needs --grpc_socket_path.")
    if flags.grpc_socket_path and flags.workers > 1:
        raise invalid(
            "--grpc_socket_path and --workers: a Unix socket cannot be shared by several processes."
        )
    channel_arguments(flags.grpc_channel_arguments)
    if flags.reload_from and not Path(flags.reload_from).is_dir():
        raise invalid(f"--reload_from={flags.reload_from}: expected a folder.")
    if flags.port and not 0 < flags.port < 65536:
        raise invalid(f"--port={flags.port}: expected a port from 1 to 65535.")
    if flags.batching_parameters_file and not flags.enable_batching:
        raise invalid(
            "server_options.batching_parameters_file is set without setting server_options.enable_batching to true."
        )
    log_settings(flags)
    if flags.grpc_front not in CHOICES:
        raise invalid(f"--grpc_front={flags.grpc_front}: expected {', '.join(CHOICES)}.")
    if flags.grpc_front == NATIVE and (reason := why_not_native(flags)):
        raise invalid(f"--grpc_front=native: {reason}.")
    if flags.log_format not in FORMATS:
        raise invalid(f"--log_format={flags.log_format}: expected {' or '.join(FORMATS)}.")
    if flags.workers < 1:
        raise invalid(f"--workers={flags.workers}: expected a positive whole number.")
    if flags.grpc_max_threads < 0:
        raise invalid(f"--grpc_max_threads={flags.grpc_max_threads}: expected a positive number.")
    if flags.port and flags.rest_api_port == flags.port:
        raise invalid(f"--rest_api_port={flags.rest_api_port} must differ from --port.")
    return flags


def listen_settings(flags: Flags) -> ListenSettings:
    """Where the gRPC server listens."""
    return ListenSettings(
        f"{flags.host}:{flags.port}" if flags.port else "",
        flags.grpc_socket_path,
        channel_arguments(flags.grpc_channel_arguments),
        flags.workers,
    )


def log_settings(flags: Flags) -> LogSettings:
    """What the request log keeps. Raises `ServingError`."""
    return read_log_settings(
        flags.request_log_dir,
        flags.request_log_sampling_rate,
        flags.request_log_max_bytes,
        flags.request_log_max_age_seconds,
        flags.request_log_redact,
        flags.workers,
    )


def why_not_native(flags: Flags) -> str:
    """Why this server has not the native front; empty when it has it."""
    if flags.grpc_front == GRPCIO:
        return "--grpc_front=grpcio"
    return without_native(listen_settings(flags), bool(flags.ssl_config_file))


def joins(flags: Flags) -> bool:
    """Whether small Predict requests that have arrived together run at once. Batching has rules of its own."""
    fronts = bool(flags.rest_api_port) or not why_not_native(flags)
    return flags.join_bursts and not flags.enable_batching and fronts


def channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """gRPC's channel arguments from `key=value,key=value`; numbers become ints (server.cc). Raises `ServingError`."""
    arguments: list[tuple[str, int | str]] = []
    for pair in filter(None, text.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise invalid(f"--grpc_channel_arguments={text}: expected key=value, separated by commas.")
        try:
            arguments.append((key, int(value)))
        except ValueError:
            arguments.append((key, value))
    return arguments


def _value(name: str, kind: type, text: str) -> object:
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise invalid(f"--{name}={text}: expected true or false.")
        return text.lower() in ("true", "1")
    try:
        return kind(text)
    except ValueError:
        raise _malformed(name, kind, text) from None


def _malformed(name: str, kind: type, text: str) -> ServingError:
    return invalid(f"--{name}={text}: expected {'a whole number' if kind is int else 'a number'}.")
