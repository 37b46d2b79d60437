"""Processes that answer, kept warm: one for previews, one for whole searches. The latest question of a page wins.

A running answer is stopped by a signal whose handler raises in the process, so that it is ready for the next question at
once; one that does not stop is ended and started anew. A process of its own also keeps a search from slowing the server,
and bounds the memory of a question.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import sys
from collections import OrderedDict
from multiprocessing.connection import Connection
from typing import Any

from simulator.web.work import Payload, do

MEMORY = 8 * 2**30
"""Address space of an answering process, where the system can bound it. [B]"""

GRACE_S = 2.0
"""Time that a stopped answer has to stop. [s]"""

WAITING = 16
"""Questions that may wait for a process; more are turned away."""

CAN_SIGNAL = hasattr(signal, "SIGUSR1")

MISTAKES = (MemoryError, RecursionError, OverflowError, ArithmeticError)
"""Errors of a question that is too much, rather than of the program."""


class Stopped(BaseException):
    """Raised in an answering process whose question is not wanted any more; no `except Exception` may hold it up."""


class Busy(Exception):  # noqa: N818
    """Too many questions wait."""


class Superseded(Exception):  # noqa: N818
    """A newer question of the same page came."""


class TooLong(Exception):  # noqa: N818
    """The answer took longer than it may."""


class Broken(Exception):  # noqa: N818
    """The answering process ended."""


# --- in the process -------------------------------------------------------------------------------------------------


def serve(pipe: Connection, unwanted: Any, niceness: int = 0) -> None:
    """Answer questions from a pipe until it closes. `unwanted` holds the number of the last job that was given up."""
    running = 0

    def stop(number: int, frame: Any) -> None:
        nonlocal running
        if running and running <= unwanted.value:
            running = 0
            raise Stopped

    # Ctrl-C reaches every process of a terminal; the server ends this one itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if CAN_SIGNAL:
        signal.signal(signal.SIGUSR1, stop)
    if niceness and hasattr(os, "nice"):
        os.nice(niceness)
    _bound_memory()
    while True:
        try:
            number, kind, data = pipe.recv()
        except (EOFError, OSError):
            return
        reply: Payload
        try:
            running = number
            reply = {"stopped": True} if number <= unwanted.value else _done(kind, data)
            running = 0
        except Stopped:
            reply = {"stopped": True}
        pipe.send((number, reply))


def _done(kind: str, data: bytes) -> Payload:
    try:
        return do(kind, data)
    except MISTAKES as error:
        return {"error": f"the question is too large to answer here ({type(error).__name__})"}
    except ValueError as error:
        # Requests are read before they are sent here; only the text of a scenario can still be wrong.
        return {"error": str(error)[:2000]}
    except Exception as error:  # noqa: BLE001 - the process outlives a fault; the page says so
        sys.stderr.write(f"trainsim serve: {type(error).__name__}: {error}\n")
        return {"fault": type(error).__name__}


def _bound_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


# --- in the server --------------------------------------------------------------------------------------------------


class Worker:
    """One answering process and the line in front of it."""

    def __init__(self, limit_s: float, niceness: int = 0) -> None:
        self.limit_s = limit_s
        self.niceness = niceness
        self.waiting = 0
        self._context = multiprocessing.get_context("spawn")
        self._unwanted = self._context.Value("q", 0)
        self._turn = asyncio.Lock()
        self._number = 0
        self._page = ""
        self._running = 0
        self._latest: OrderedDict[str, int] = OrderedDict()
        self._begin()

    def _begin(self) -> None:
        self._pipe, theirs = self._context.Pipe()
        arguments = (theirs, self._unwanted, self.niceness)
        self._process = self._context.Process(target=serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    async def ask(self, kind: str, data: bytes, page: str = "") -> Payload:
        """The reply to a job; a newer one of the same `page` stops it.

        Raises
        ------
        Busy, Superseded, TooLong, Broken
            Why there is none.
        """
        if self.waiting >= WAITING:
            raise Busy
        self._number += 1
        number = self._number
        if page:
            self.give_up(page)
            self._latest[page] = number
            self._latest.move_to_end(page)
            while len(self._latest) > 256:
                self._latest.popitem(last=False)
        self.waiting += 1
        try:
            async with self._turn:
                if page and self._latest.get(page, number) != number:
                    raise Superseded
                return await self._exchange(number, kind, data, page)
        finally:
            self.waiting -= 1

    def give_up(self, page: str) -> None:
        """Stop the answer of a page, and pass over what it still has in the line."""
        self._latest[page] = 0
        if self._page == page and self._unwanted.value < self._running:
            self._unwanted.value = self._running
            if CAN_SIGNAL and self._process.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._process.pid, signal.SIGUSR1)

    async def _exchange(self, number: int, kind: str, data: bytes, page: str) -> Payload:
        self._page, self._running = page, number
        try:
            if not self._process.is_alive():
                self._begin()
            receive = asyncio.create_task(asyncio.to_thread(self._round_trip, (number, kind, data)))
            done, _ = await asyncio.wait({receive}, timeout=self.limit_s)
            if not done:
                await self._stop(receive)
                raise TooLong
            reply = receive.result()
        except asyncio.CancelledError:
            await self._stop(receive)
            raise
        except (EOFError, OSError) as error:
            self._restart()
            raise Broken from error
        finally:
            self._page = ""
        if reply.get("stopped"):
            raise Superseded
        return reply

    def _round_trip(self, job: tuple[int, str, bytes]) -> Payload:
        self._pipe.send(job)
        _, reply = self._pipe.recv()
        return dict(reply)

    async def _stop(self, receive: asyncio.Task[Payload]) -> None:
        """Stop what runs, politely and then not."""
        self._unwanted.value = self._running
        if CAN_SIGNAL and self._process.pid and self._process.is_alive():
            os.kill(self._process.pid, signal.SIGUSR1)
        done, _ = await asyncio.wait({receive}, timeout=GRACE_S)
        if not done:
            self._process.kill()
            await asyncio.wait({receive}, timeout=GRACE_S)
            self._restart()

    def _restart(self) -> None:
        self.close()
        self._begin()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join(GRACE_S)
        self._pipe.close()
