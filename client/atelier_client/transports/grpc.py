"""gRPC: the channel's settings and the two transports, blocking and asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from atelier_client._arguments import check_token
from atelier_client._targets import Target
from atelier_client._trace_context import HEADER as TRACEPARENT
from atelier_client.errors import ServerFailure, SettingsError, from_status
from atelier_client.tls import TLS
from atelier_client.transports.base import Method

Token = str | Callable[[], str]

# Servers have no limit of their own; grpcio's default limit for a received message is 4 MB.
_UNLIMITED = -1
_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_receive_message_length", _UNLIMITED),
    ("grpc.max_send_message_length", _UNLIMITED),
    # The client makes its own retries (retry.py), because it knows what may be sent twice. A call takes 6 % less time
    # without gRPC's filter for retries.
    ("grpc.enable_retries", 0),
    # When a host name has several addresses, gRPC uses all of them in turn.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    # By default gRPC waits longer and longer, up to two minutes, before it tries a dead address again. Measured with a
    # server that starts 12 s after the client: the client notices it 3.6 s late with the default, 0.8 s with these.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # How long connecting may take (default 20 s): a host that is switched off does not answer at all.
    ("grpc.min_reconnect_backoff_ms", 5000),
    # Each client of a process gets its own connection.
    ("grpc.use_local_subchannel_pool", 1),
    # Large frames for large messages: fewer wake-ups per request.
    ("grpc.http2.max_frame_size", 1 << 20),
    ("grpc.http2.lookahead_bytes", 4 << 20),
)


class GrpcTransport:
    """One channel with blocking calls. It connects at the first call."""

    def __init__(self, target: Target, tls: TLS | None, token: Token | None, proxy: bool) -> None:
        self._target = target.address
        self._headers = _Headers(token)
        options = _options(tls, proxy)
        self._channel = (
            grpc.secure_channel(target.endpoint, tls.channel_credentials(), options=options)
            if tls
            else grpc.insecure_channel(target.endpoint, options=options)
        )
        self._calls: dict[str, Any] = {}

    def call(self, method: Method, request: bytes, timeout: float, traceparent: str | None = None) -> Any:
        """As `Transport.call`."""
        try:
            call = self._calls.get(method.path)
            if call is None:
                call = self._calls[method.path] = self._channel.unary_unary(method.path)
            response = call(request, timeout=timeout, metadata=self._headers(traceparent))
        except grpc.RpcError as error:
            raise from_status(error.code(), error.details() or "", self._target, timeout) from None
        except ValueError as error:
            # gRPC raises this when another thread has closed the channel.
            raise SettingsError(f"The client was closed ({error}).") from None
        return _message(method, response, self._target)

    def close(self) -> None:
        """As `Transport.close`."""
        self._channel.close()


class AsyncGrpcTransport:
    """One channel of `grpc.aio`. It is made at the first call, because it belongs to the event loop that runs then."""

    def __init__(self, target: Target, tls: TLS | None, token: Token | None, proxy: bool) -> None:
        self._target = target.address
        self._endpoint = target.endpoint
        self._headers = _Headers(token)
        self._options = _options(tls, proxy)
        self._credentials = tls.channel_credentials() if tls else None
        self._channel: grpc.aio.Channel | None = None
        self._calls: dict[str, Any] = {}
        self._closed = False

    async def call(
        self, method: Method, request: bytes, timeout: float, traceparent: str | None = None
    ) -> Any:
        """As `AsyncTransport.call`."""
        channel = self._channel
        if channel is None:
            channel = self._channel = self._open()
        try:
            call = self._calls.get(method.path)
            if call is None:
                call = self._calls[method.path] = channel.unary_unary(method.path)
            response = await call(request, timeout=timeout, metadata=self._headers(traceparent))
        except grpc.aio.AioRpcError as error:
            raise from_status(error.code(), error.details() or "", self._target, timeout) from None
        except grpc.aio.UsageError as error:
            raise SettingsError(f"The client was closed ({error}).") from None
        except asyncio.CancelledError:
            # Closing a channel cancels its calls, which to the caller would look as if its own task were cancelled.
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                raise SettingsError("The client was closed during the call.") from None
            raise
        return _message(method, response, self._target)

    async def close(self) -> None:
        """As `AsyncTransport.close`."""
        self._closed = True
        if self._channel is not None:
            await self._channel.close()

    def _open(self) -> grpc.aio.Channel:
        if self._credentials:
            return grpc.aio.secure_channel(self._endpoint, self._credentials, options=self._options)
        return grpc.aio.insecure_channel(self._endpoint, options=self._options)


class _Headers:
    """The metadata of a call: token and trace. A function is asked for the token each time, because tokens expire."""

    def __init__(self, token: Token | None) -> None:
        self._token = token

    def __call__(self, traceparent: str | None) -> tuple[tuple[str, str], ...] | None:
        headers: tuple[tuple[str, str], ...] = ()
        if self._token is not None:
            headers = (("authorization", bearer(self._token)),)
        if traceparent is not None:
            headers = (*headers, (TRACEPARENT, traceparent))
        return headers or None


def bearer(token: Token) -> str:
    """The value of the `authorization` header (RFC 6750). Raises `SettingsError` for what a function returns."""
    if not isinstance(token, str):
        token = token()
        check_token(token)
    return f"Bearer {token}"


def _message(method: Method, response: bytes, target: str) -> Any:
    """Parse a response. gRPC's own deserializing would print a stack trace for bytes that are no such message."""
    try:
        return method.response.FromString(response)
    except DecodeError as error:
        raise ServerFailure(
            f"{target} answered {method.name} with what is no message of it: {error}."
        ) from None


def _options(tls: TLS | None, proxy: bool) -> list[tuple[str, int | str]]:
    # The environment's proxy is for the web; it can rarely reach a model server.
    options = [*_OPTIONS, ("grpc.enable_http_proxy", int(proxy))]
    if tls and tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return options
