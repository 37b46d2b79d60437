"""What is refused before anything is read: requests that do not come from the page itself.

A server on one's own machine can be reached by every web page that the browser shows. So the name in ``Host`` must be one of
this server (a stranger's name that was made to point here is not), ``Origin`` and ``Sec-Fetch-Site`` must say that the page
itself asks, and what changes hands by POST needs the token that only the page can read. No header of this server allows
another origin anything.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

MAX_BODY = 262_144
"""Size of a request's body. [B]"""

BODY_S = 10.0
"""Time in which a body must have arrived. [s]"""

TOKEN_HEADER = "x-trainsim-token"  # noqa: S105 - the name of a header

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What a browser may do for the page: its own script and style sheets, questions to this server, nothing inline."""

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}
"""Sent with every answer."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """An ASGI application in front of another.

    Parameters
    ----------
    app : callable
        What is guarded.
    token : str
        Needed by every POST.
    names : iterable of str
        Names under which the server may be asked, beside ``localhost`` and addresses of loopback.
    remote : bool, optional
        Whether any IP address will do as a name: the server listens to other machines. An address cannot be made to
        point elsewhere by its owner, as a name can.
    """

    def __init__(self, app: App, token: str, names: Iterable[str] = (), *, remote: bool = False) -> None:
        self.app = app
        self.token = token.encode()
        self.names = {"localhost", *(name.lower() for name in names)}
        self.remote = remote

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        why = self.refusal(scope)
        if why is not None:
            await _refuse(send, *why)
            return
        if scope["method"] != "POST":
            await self.app(scope, receive, _with_headers(send))
            return
        try:
            body = await asyncio.wait_for(_body(receive), BODY_S)
        except TimeoutError:
            await _refuse(send, 408, "the request did not arrive in time")
            return
        if body is None:
            await _refuse(send, 413, f"a request has at most {MAX_BODY // 1024} KiB")
            return
        await self.app(scope, _replay(body), _with_headers(send))

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason, if a request is not to be answered."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        if any(len(headers.get(name, ())) > 1 for name in (b"host", b"origin", b"content-length")):
            return 400, "a header is given twice"

        def one(name: bytes) -> str:
            return headers.get(name, [b""])[0].decode("latin-1")

        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "only GET and POST are answered"
        host = one(b"host")
        if not self.known(host):
            return 421, "this server is not asked under that name"
        raw = (scope.get("raw_path") or scope["path"].encode()).lower()
        if any(part in raw for part in (b"..", b"%2e", b"\\", b"%5c", b"%00", b"//")):
            return 400, "no such page"
        return self._stranger(scope, host, one) or (self._post(one) if scope["method"] == "POST" else None)

    def known(self, host: str) -> bool:
        """Whether a ``Host`` is one of this server.

        Examples
        --------
        >>> guard = Guard(None, "token")
        >>> [guard.known(h) for h in ("localhost:8000", "127.0.0.1:8000", "[::1]:8000", "evil.example:8000", "")]
        [True, True, True, False, False]
        """
        name = host.lower()
        if name.startswith("["):
            name = name[1:].partition("]")[0]
        elif name.count(":") == 1:
            name, _, port = name.partition(":")
            if not port.isdigit():
                return False
        if name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.remote or address.is_loopback

    def _stranger(self, scope: Scope, host: str, one: Callable[[bytes], str]) -> tuple[int, str] | None:
        """Refuse what another page, or another server on this machine, has the browser ask."""
        origin, site = one(b"origin"), one(b"sec-fetch-site")
        if origin and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            return 403, "asked by another origin"
        # A link from elsewhere may open the page, which then starts with nothing of the other's.
        link = scope["method"] == "GET" and scope["path"] == "/" and one(b"sec-fetch-mode") == "navigate"
        framed = one(b"sec-fetch-dest") not in ("", "document")
        if site not in ("", "same-origin", "none") and (not link or framed):
            return 403, "asked by another site"
        return None

    def _post(self, one: Callable[[bytes], str]) -> tuple[int, str] | None:
        if not secrets.compare_digest(one(TOKEN_HEADER.encode()).encode("latin-1"), self.token):
            return 403, "the token of the page is missing or old; load the page again"
        if one(b"content-type").partition(";")[0].strip().lower() != "application/json":
            return 415, "a request is application/json"
        length = one(b"content-length")
        if length and (not length.isdigit() or len(length) > 12 or int(length) > MAX_BODY):
            return 413, f"a request has at most {MAX_BODY // 1024} KiB"
        return None


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or ``None`` if it is too large."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY:
            return None
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes) -> Receive:
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            await asyncio.Event().wait()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", []), *own]}
        await send(message)

    return sending


async def _refuse(send: Send, status: int, reason: str) -> None:
    import json

    body = json.dumps({"error": reason}).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        **HEADERS,
    }
    if status == 405:
        headers["allow"] = "GET, HEAD, POST"
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
