"""The channel's settings: sizes, retries, no proxy."""

from __future__ import annotations

# The server's side is already unlimited; grpcio's own receive limit is 4 MB.
_UNLIMITED = -1
# Only UNAVAILABLE, where the server cannot have acted; bounded by the call's deadline.
_RETRY = """{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.1s",
 "maxBackoff": "1s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}"""

OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_receive_message_length", _UNLIMITED),
    ("grpc.max_send_message_length", _UNLIMITED),
    # A proxy set for the web rarely knows the way to a model server.
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config", _RETRY),
    # gRPC waits ever longer, up to two minutes, before it tries a dead address again. Measured with a server that comes
    # up 12 s after the client: noticed 3.6 s late with the default, 0.8 s late with these.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Two clients in a process each get a connection of their own.
    ("grpc.use_local_subchannel_pool", 1),
    # Large messages in large frames: fewer wake-ups a request.
    ("grpc.http2.max_frame_size", 1 << 20),
    ("grpc.http2.lookahead_bytes", 4 << 20),
)
