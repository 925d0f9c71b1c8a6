"""The local face: a Unix socket for whoever may open it, this user and group.

One question a connection, one JSON line each way. Nothing, or `{"ask": "status"}`, is answered with the status;
`{"do": "retry", "args": {...}}` with `{"ok": true, "result": {...}}` or with `{"ok": false, "code": ..., "what": ...,
"where": ..., "hint": ...}`.

One of the three places that may catch everything: whoever asks must not be able to stop the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import pwd
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.model.errors import BadArgument, GatewayError, NotRunning

log = logging.getLogger("gateway.api")

SOCKET_NAME = "gateway.sock"
REQUEST_BYTES = 256 * 1024
REQUEST_S = 2.0
"""Who has not said anything by then wants the status."""
ANSWER_S = 10.0

Status = Callable[[], Mapping[str, Any]]
Perform = Callable[[str, Mapping[str, Any], str], Awaitable[Mapping[str, Any]]]


@contextlib.asynccontextmanager
async def local_api(path: Path, status: Status, perform: Perform) -> AsyncIterator[None]:
    """Serves `status()` and `perform(do, args, who)` on a socket only this user and group may open; `who` is the
    user's name as the kernel knows it. Without the socket the gateway runs all the same.

    What is still being done when the gateway stops is cancelled; its asker sees the connection close.
    """
    counter = _Counter(status, perform)
    try:
        _clear(path)
        server = await asyncio.start_unix_server(counter.serve, path, limit=REQUEST_BYTES)
        _only_for_us(path)
    except (OSError, ValueError) as error:
        log.warning("no local socket at %s: %s", path, error)
        yield
        return
    try:
        yield
    finally:
        server.close()
        await counter.close()
        with contextlib.suppress(OSError):  # a disk that became read-only; the next start clears it
            _clear(path)


def _clear(path: Path) -> None:
    path.unlink(missing_ok=True)


def _only_for_us(path: Path) -> None:
    path.chmod(0o660)


@dataclass(eq=False)
class _Counter:
    """Where questions are taken."""

    status: Status
    perform: Perform

    def __post_init__(self) -> None:
        self._open: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine always runs in one
        self._open.add(task)
        try:
            writer.write(await self._answer(reader, _user(writer)) + b"\n")
            async with asyncio.timeout(ANSWER_S):
                await writer.drain()
        except (OSError, TimeoutError) as error:
            log.debug("whoever asked did not wait for the answer: %s", error)
        finally:
            self._open.discard(task)
            writer.close()

    async def close(self) -> None:
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    async def _answer(self, reader: asyncio.StreamReader, who: str) -> bytes:
        try:
            question = await _question(reader)
            if question == {"ask": "status"}:
                return _line(self.status())
            result = await self.perform(*_order(question), who)
            return _line({"ok": True, "result": result})
        except GatewayError as error:
            return _line(
                {"ok": False, "code": error.code, "what": error.what, "where": error.where, "hint": error.hint}
            )
        except Exception:  # the local API's handler: named in ARCHITECTURE.md
            log.exception("a local question could not be answered")
            what = "the gateway failed to answer; it goes on"
            return _line({"ok": False, "code": GatewayError.code, "what": what, "where": "", "hint": "see its journal"})


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")


async def _question(reader: asyncio.StreamReader) -> Any:
    line = b""
    try:
        async with asyncio.timeout(REQUEST_S):
            line = await reader.readline()
        return json.loads(line) if line.strip() else {"ask": "status"}
    except TimeoutError:
        return {"ask": "status"}
    except ValueError as error:  # no JSON, or longer than the limit
        hint = f'one line of JSON, at most {REQUEST_BYTES // 1024} KiB: {{"ask": "status"}}'
        raise BadArgument("the question cannot be read", hint=hint) from error


def _order(question: Any) -> tuple[str, Mapping[str, Any]]:
    if isinstance(question, dict) and question.keys() <= {"do", "args"}:
        do, args = question.get("do"), question.get("args", {})
        if isinstance(do, str) and isinstance(args, dict):
            return do, args
    raise BadArgument("the question is not known", hint='{"ask": "status"} or {"do": "...", "args": {...}}')


def _user(writer: asyncio.StreamWriter) -> str:
    """Who is at the other end, by the kernel's word."""
    credentials = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return user_name(struct.unpack("3i", credentials)[1])


def user_name(uid: int) -> str:
    """The name of a user; the number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


# --- the asking side ------------------------------------------------------------------------------------------------


async def ask(path: Path, timeout_s: float = 5.0) -> dict[str, Any]:
    """The status of the gateway behind a socket. Raises NotRunning when nobody answers there."""
    answer = await _talk(path, None, timeout_s)
    if answer.get("ok") is False:
        raise _error(answer)
    return answer


async def tell(path: Path, do: str, args: Mapping[str, Any], timeout_s: float = 600.0) -> dict[str, Any]:
    """Has the gateway behind a socket do something; returns its result. Raises NotRunning, or the gateway's error."""
    answer = await _talk(path, {"do": do, "args": args}, timeout_s)
    if "ok" not in answer:
        hint = "it was started before the last update: systemctl restart gateway"
        raise NotRunning("the running gateway is too old for this", where=str(path), hint=hint)
    if answer["ok"] is not True:
        raise _error(answer)
    result: dict[str, Any] = answer["result"]
    return result


async def _talk(path: Path, question: Mapping[str, Any] | None, timeout_s: float) -> dict[str, Any]:
    """A gateway from before an update answers without reading, and what it did not read would cost us its answer: so
    who only wants the status says nothing."""
    there = False
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(path)
            there = True
            try:
                with contextlib.suppress(ConnectionError):  # refused before it was read whole: the answer says why
                    writer.write(b"" if question is None else _line(question) + b"\n")
                    writer.write_eof()
                    await writer.drain()
                answer: dict[str, Any] = json.loads(await reader.read())
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError, ValueError) as error:
        if there and question is not None:
            what = "the gateway went away before it answered"
            hint = "look whether it was done; after an update: systemctl restart gateway"
        else:
            what = "no gateway answers here"
            hint = "is it running? systemctl status gateway, or gateway run SITE"
        raise NotRunning(what, where=str(path), hint=hint) from error
    return answer


def _error(answer: Mapping[str, Any]) -> GatewayError:
    """The error of the other side, of the same class."""
    kind = next((kind for kind in _kinds(GatewayError) if kind.code == answer.get("code")), GatewayError)
    if kind is GatewayError and isinstance(code := answer.get("code"), str):
        kind = type("Told", (GatewayError,), {"code": code})  # of a room that was not loaded here
    return kind(str(answer.get("what", "")), where=str(answer.get("where", "")), hint=str(answer.get("hint", "")))


def _kinds(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)
