"""Who may ask the console: its own pages, and who knows its token; and what every answer's headers say.

- The address that a browser used (`Host`) must be this machine's, as long as no token is asked for: a page elsewhere
  could otherwise reach the console through a name of its own that it points to 127.0.0.1 (DNS rebinding).
- A POST comes from the console's own pages: its content is application/json, which no form of another page can send,
  and its `Origin`, which browsers always send with it, is the console's own (CSRF).
- With a token, everything but /healthz needs it: as `Authorization: Bearer`, or in the cookie that the first visit with
  `?token=` sets. The cookie holds a digest, which is no token.
"""

from __future__ import annotations

import hashlib
import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atelier_console.settings import Settings, is_loopback
from atelier_console.texts import say

COOKIE = "atelier_console"
CONTENT_SECURITY_POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
_OPEN = ("/healthz",)
_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware that lets a question in, or answers it with the reason."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._token = settings.token
        self._own_host = settings.host
        secret = (settings.token or "").encode()
        self._cookie = hmac.new(secret, b"atelier-console cookie", hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a question, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    found.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope, headers)
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to a question that may not come in; None for one that may."""
        if self._token is None and not self._is_own(headers.get("host", "")):
            return PlainTextResponse(say("bad_host", host=headers.get("host", "")), 421)
        if scope["method"] not in ("GET", "HEAD"):
            origin = headers.get("origin")
            if origin is not None and not _leads_to(origin, headers.get("host")):
                return PlainTextResponse(say("bad_origin", origin=origin), 403)
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                return PlainTextResponse(say("bad_content", kind=kind), 415)
        if self._token is None or scope["path"] in _OPEN:
            return None
        return self._without_token(scope, headers)

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        """None with the right token or cookie; a first visit with `?token=` gets the cookie and goes on without it."""
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        given = query.pop("token", None)
        if given is not None and _same(given, self._token or "") and scope["method"] == "GET":
            rest = f"?{urlencode(query)}" if query else ""
            # Relative to this host: the path alone could name another one (//host).
            answer = RedirectResponse(f"/{scope['path'].lstrip('/')}{rest}", 303)
            answer.set_cookie(COOKIE, self._cookie, httponly=True, samesite="lax", path="/")
            return answer
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(value.strip(), self._token or ""):
            return None
        if _same(_cookie_of(headers), self._cookie):
            return None
        return PlainTextResponse(say("need_token"), 401, {"www-authenticate": "Bearer"})

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return is_loopback(name) or name == self._own_host


def _leads_to(origin: str, host: str | None) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False


def _cookie_of(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _same(given: str, wanted: str) -> bool:
    """Compared in a time that does not tell how much is right."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())
