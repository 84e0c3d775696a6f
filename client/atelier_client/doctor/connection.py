"""Checks of the connection: address, port, protocol and TLS."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator

from atelier_client._targets import V2, Target, parse_targets
from atelier_client.doctor.finding import Finding, Severity, error, ok, warning
from atelier_client.doctor.probe import Address, Protocol, detect_protocol, handshake
from atelier_client.errors import SettingsError
from atelier_client.tls import TLS

SECONDS = 5.0
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY")


def check_connection(target: str, tls: TLS | None) -> Iterator[Finding]:
    """All findings about each address of the target. After an error, an address is not checked further."""
    try:
        targets = parse_targets(target)
    except SettingsError as problem:
        yield error("address", str(problem), "TensorFlow Serving listens on 8500 for gRPC and 8501 for REST.")
        return
    for one in targets:
        for finding in _address(one, tls):
            yield finding
            if finding.state is Severity.ERROR:
                break
    set_here = [name for name in _PROXIES if os.environ.get(name)]
    if set_here:
        yield ok(
            "proxy", f"{', '.join(set_here)} set in the environment, and not used: this client goes directly."
        )


def _address(target: Target, tls: TLS | None) -> Iterator[Finding]:
    address = Address.of(target.endpoint)
    where = target.address
    if target.scheme == "unix":
        yield from _unix(address, where)
    else:
        yield from _host(address)
        yield from _port(address, where)
    if target.rest:
        yield from _rest(address, target)
    elif tls is not None:
        yield from _tls(address, where, tls)
    else:
        yield from _grpc(address, target)


def _unix(address: Address, where: str) -> Iterator[Finding]:
    try:
        address.connect(SECONDS).close()
    except OSError as problem:
        yield error(
            "address",
            f"{where}: {problem.strerror or problem}.",
            "Start the server, or give its socket's path.",
        )
        return
    yield ok("address", f"{where} accepts connections")


def _host(address: Address) -> Iterator[Finding]:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        yield error(
            "address",
            f"The host name {address.host!r} is not known here: {problem}.",
            "Check the spelling. Names of compose services are known only inside their network; from outside it is "
            "127.0.0.1 and the published port.",
        )
        return
    addresses = sorted({str(item[4][0]) for item in found})
    yield ok("address", f"{address.host} is {', '.join(addresses)}")


def _port(address: Address, where: str) -> Iterator[Finding]:
    try:
        address.connect(SECONDS).close()
    except ConnectionRefusedError:
        yield error(
            "port",
            f"Nothing listens on {where}.",
            "Start the server (`make up`; its ports: `make ps`). While TensorFlow Serving finds no model it does not "
            "listen at all: see its log.",
        )
    except TimeoutError:
        yield error(
            "port",
            f"{where} did not answer within {SECONDS:g} s.",
            "A firewall drops the packets, or the host is off.",
        )
    except OSError as problem:
        yield error("port", f"{where}: {problem.strerror or problem}.", "Check address and network.")
    else:
        yield ok("port", f"{where} accepts connections")


def _grpc(address: Address, target: Target) -> Iterator[Finding]:
    where = target.address
    protocol = detect_protocol(address, SECONDS)
    if protocol is Protocol.GRPC:
        yield ok("protocol", f"{where} speaks gRPC, without TLS")
    elif protocol is Protocol.TLS:
        yield error(
            "TLS", f"{where} speaks TLS.", "Encrypt: --tls, with --ca FILE for an authority of your own."
        )
    elif protocol is Protocol.HTTP:
        yield error(
            "protocol",
            f"{where} speaks HTTP/1, not gRPC: it is the REST port, or another server.",
            f"Give the gRPC port (TensorFlow Serving: 8500), or ask over REST: --target "
            f"{V2 if target.v2 else ''}http://{target.endpoint}",
        )
    else:
        yield error(
            "protocol", f"{where} speaks no gRPC ({protocol.value} came).", "Another program has this port."
        )


def _rest(address: Address, target: Target) -> Iterator[Finding]:
    protocol = detect_protocol(address, SECONDS)
    wanted = Protocol.HTTP if target.scheme == "http" else Protocol.TLS
    if protocol is wanted:
        yield ok("protocol", f"{target.address} speaks {'HTTP' if target.scheme == 'http' else 'TLS'}")
    elif protocol is Protocol.GRPC:
        host = target.endpoint.partition("://")[2]
        advice = f"With grpc: --target {V2}grpc://{host}" if target.v2 else f"Without http: --target {host}"
        yield error("protocol", f"{target.address} is a gRPC port.", advice)
    elif protocol is Protocol.TLS:
        yield error("TLS", f"{target.address} speaks TLS.", "Use https://")
    elif protocol is Protocol.HTTP:
        yield error("TLS", f"{target.address} speaks no TLS.", "Use http://")
    else:
        yield error("protocol", f"{target.address} speaks no HTTP.", "Another program has this port.")


def _tls(address: Address, where: str, tls: TLS) -> Iterator[Finding]:
    try:
        context = tls.context()
        handshake(address, context, tls.server_name, SECONDS)
    except SettingsError as problem:
        yield error("TLS", str(problem), "Give PEM files.")
    except ssl.SSLCertVerificationError as problem:
        yield error(
            "TLS",
            f"The certificate of {where} is not accepted: {problem.verify_message}.",
            _certificate(problem),
        )
    except (ssl.SSLError, OSError) as problem:
        if detect_protocol(address, SECONDS) is not Protocol.TLS:
            yield error("TLS", f"{where} does not speak TLS.", "Leave --tls, --ca, --cert and --key out.")
        elif "CERTIFICATE" in str(problem).upper() or isinstance(problem, ConnectionResetError):
            yield error(
                "TLS",
                f"{where} wants a certificate of the client: {problem}.",
                "Give one it knows: --cert FILE --key FILE.",
            )
        else:
            yield error("TLS", f"No TLS connection to {where}: {problem}.", "See the server's log.")
    else:
        yield from _expiry(address, where, tls)


def _expiry(address: Address, where: str, tls: TLS) -> Iterator[Finding]:
    with (
        address.connect(SECONDS) as plain,
        tls.context().wrap_socket(plain, server_hostname=tls.server_name or address.host) as secure,
    ):
        certificate = secure.getpeercert() or {}
    ends = str(certificate.get("notAfter", ""))
    days = (ssl.cert_time_to_seconds(ends) - time.time()) / 86400 if ends else None
    if days is not None and days < 14:
        yield warning("TLS", f"The certificate of {where} ends in {days:.0f} days ({ends}).", "Renew it.")
    else:
        yield ok("TLS", f"{where} shows a certificate that is accepted" + (f", until {ends}" if ends else ""))


def _certificate(problem: ssl.SSLCertVerificationError) -> str:
    if "expired" in problem.verify_message:
        return "Renew the server's certificate."
    if "mismatch" in problem.verify_message or "not valid for" in problem.verify_message:
        return "Reach it by the name in its certificate, or give that name: --server-name NAME."
    return "Give the authority that signed it: --ca FILE."
