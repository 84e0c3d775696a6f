"""Which protocol a server speaks: TensorFlow Serving's, or the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from atelier_client._targets import V2, Target, parse_targets
from atelier_client.client import make_transport
from atelier_client.doctor.finding import Finding, error, ok
from atelier_client.errors import InvalidRequest, ModelNotFound, NotAllowed, ServerError, ServerFailure
from atelier_client.messages.requests import status_request
from atelier_client.open_inference.methods import SERVER
from atelier_client.transports.base import STATUS
from atelier_client.transports.http import NO_MODEL_SERVER

_TENSORFLOW = "TensorFlow Serving's protocol"
_OPEN = "the Open Inference Protocol v2"


def check_protocol(target: str, model: str, settings: dict[str, Any]) -> Iterator[Finding]:
    """Findings about each address: an error where it speaks the other protocol. `settings` are those of `Client`.

    Nothing is found where a server cannot be asked, or speaks neither: what asks next says why.
    """
    for asked in parse_targets(target):
        other = _other(asked)
        said = _said(asked, model, settings)
        if said:
            if asked.v2:
                yield ok("protocol", f"{asked.address} speaks {_OPEN}: {said}")
        elif said is not None and _said(other, model, settings):
            mine, theirs = (_OPEN, _TENSORFLOW) if asked.v2 else (_TENSORFLOW, _OPEN)
            yield error(
                "protocol",
                f"{asked.address} speaks {theirs}, not {mine}.",
                f"Ask it so: --target {other.address}",
            )


def _other(target: Target) -> Target:
    """The same server, asked by the other protocol."""
    if target.v2:
        return Target(target.endpoint, target.scheme)
    scheme = "grpc://" if target.scheme == "grpc" else ""
    return replace(target, address=f"{V2}{scheme}{target.address}", v2=True)


def _said(target: Target, model: str, settings: dict[str, Any]) -> str | None:
    """What a server of this protocol is; empty for a server that does not speak it, None when it cannot be asked."""
    transport = make_transport(target, settings["tls"], settings["token"], False)
    try:
        if target.v2:
            answer = transport.call(SERVER, b"", settings["timeout"])
            extensions = ", ".join(answer.extensions)
            return f"{answer.name} {answer.version}" + (f", with {extensions}" if extensions else "")
        transport.call(STATUS, status_request(model)(), settings["timeout"])
        return _TENSORFLOW
    except NotAllowed:
        return None
    except ModelNotFound as problem:
        # TensorFlow Serving says so of a model; a page that is not there, another server.
        return "" if target.v2 or NO_MODEL_SERVER in problem.details else _TENSORFLOW
    except (InvalidRequest, ServerFailure):
        return ""
    except ServerError:
        return None
    finally:
        transport.close()
