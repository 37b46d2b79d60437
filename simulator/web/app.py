"""The application: a page, its two static files, and four addresses that answer JSON."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.report import page_style
from simulator.web import guards
from simulator.web.questions import Ask, Open
from simulator.web.work import Payload
from simulator.web.workers import Broken, Busy, Superseded, TooLong, Worker

PREVIEW_S = 10.0
"""Time that a preview may take. [s]"""

FULL_S = 120.0
"""Time that a whole search may take. [s]"""

KEPT = 64
"""Answers kept, so that a slider moved back shows its answer at once."""

KEPT_S = 300.0
"""Time that an answer is kept: a file of the library may have changed since. [s]"""

WHY = {
    Busy: (503, "too many questions wait; ask again in a moment"),
    Superseded: (409, "a newer question of this page took its place"),
    TooLong: (504, "the answer takes longer than this page waits; `trainsim run` takes the time it needs"),
    Broken: (500, "the answering process ended; ask again"),
}


class Desk:
    """Where questions go: previews to one process, whole searches to another, answers that are known to neither."""

    def __init__(self, preview_s: float = PREVIEW_S, full_s: float = FULL_S) -> None:
        self.workers = {"preview": Worker(preview_s), "full": Worker(full_s, niceness=5)}
        self.known: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self.begun: Payload | None = None

    async def answer(self, ask: Ask) -> Payload | bytes:
        """The answer, as JSON if it is one; a page's newer question stops its older ones, a preview also the whole search before it."""
        if ask.effort == "preview":
            self.workers["full"].give_up(ask.client)
        content = ask.model_dump(mode="json", exclude={"client"}, exclude_unset=True)
        key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()
        found = self.known.get(key)
        if found is not None and time.monotonic() - found[0] < KEPT_S:
            self.known.move_to_end(key)
            return found[1]
        data = ask.model_dump_json(exclude_unset=True).encode()
        payload = await self.workers[ask.effort].ask("answer", data, ask.client)
        if "sections" not in payload:
            return payload
        reply = _json(payload)
        self.known[key] = (time.monotonic(), reply)
        while len(self.known) > KEPT:
            self.known.popitem(last=False)
        return reply

    async def start(self) -> Payload:
        """What a page begins with; the whole-search process warms up by saying it."""
        if self.begun is None:
            self.begun = await self.workers["preview"].ask("start", b"")
        return self.begun

    def close(self) -> None:
        """End the processes."""
        for worker in self.workers.values():
            worker.close()


def _json(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, allow_nan=False).encode()


def _reply(data: Payload | bytes, status: int = 200) -> Response:
    """An answer as JSON; what went wrong gets the status that says so."""
    if isinstance(data, bytes):
        return Response(data, status, media_type="application/json")
    if "fault" in data:
        data, status = (
            {"error": f"internal error ({data['fault']}): a fault of trainsim, not of your input"},
            500,
        )
    elif "error" in data and status == 200:
        status = 422
    return Response(_json(data), status, media_type="application/json")


async def _wrong(_: Request, error: Exception) -> Response:
    """What is said of a question that is malformed, or that nobody answers."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the request"
        return _reply({"error": f"{where}: {first['msg']}"[:500]}, 422)
    status, text = WHY[type(error)]
    return _reply({"error": text}, status)


async def _absent(_: Request, error: Exception) -> Response:
    return _reply({"error": "no such page"}, getattr(error, "status_code", 404))


def _static() -> dict[str, tuple[str, bytes]]:
    """Path to media type and content; nothing else is ever read for a request."""
    folder = importlib.resources.files("simulator.web") / "static"
    return {
        "/app.js": ("text/javascript; charset=utf-8", (folder / "app.js").read_bytes()),
        "/app.css": ("text/css; charset=utf-8", (folder / "app.css").read_bytes()),
        "/report.css": ("text/css; charset=utf-8", page_style.sheet().encode()),
    }


def create(
    *,
    names: Iterable[str] = (),
    remote: bool = False,
    preview_s: float = PREVIEW_S,
    full_s: float = FULL_S,
) -> guards.Guard:
    """The guarded application.

    Parameters
    ----------
    names : iterable of str, optional
        Host names under which it may be asked.
    remote : bool, optional
        Whether it listens to other machines.
    preview_s, full_s : float, optional
        Time that an answer may take. [s]
    """
    token = secrets.token_urlsafe(32)
    static = _static()
    index = (importlib.resources.files("simulator.web") / "static" / "index.html").read_text(encoding="utf-8")
    desks: list[Desk] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        desks.append(Desk(preview_s, full_s))
        try:
            yield
        finally:
            desks.pop().close()

    async def page(_: Request) -> Response:
        return Response(index.replace("{{token}}", token), media_type="text/html")

    async def file(request: Request) -> Response:
        kind, content = static[request.url.path]
        return Response(content, media_type=kind)

    async def start(_: Request) -> Response:
        return _reply(await desks[0].start())

    async def answer(request: Request) -> Response:
        ask = Ask.model_validate_json(await request.body())
        return _reply(await desks[0].answer(ask))

    async def opened(request: Request) -> Response:
        asked = Open.model_validate_json(await request.body())
        data = asked.model_dump_json(exclude_unset=True).encode()
        return _reply(await desks[0].workers["preview"].ask("open", data))

    app = Starlette(
        routes=[
            Route("/", page, methods=["GET"]),
            *(Route(path, file, methods=["GET"]) for path in static),
            Route("/api/start", start, methods=["GET"]),
            Route("/api/answer", answer, methods=["POST"]),
            Route("/api/open", opened, methods=["POST"]),
        ],
        exception_handlers={
            ValidationError: _wrong,
            404: _absent,
            405: _absent,
            **dict.fromkeys(WHY, _wrong),
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return guards.Guard(app, token, names, remote=remote)
