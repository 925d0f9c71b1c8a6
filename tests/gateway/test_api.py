"""The local socket: whoever asks gets one answer, and nobody who asks can stop the gateway."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway import api
from gateway.api import ask, local_api, tell, user_name
from gateway.model.errors import BadArgument, GatewayError, NotRunning, StoreFull

STATUS = {"gateway": "38-test-01", "site": "Điểm thử"}


@asynccontextmanager
async def served(folder: Path, status: Mapping[str, Any] = STATUS) -> AsyncIterator[Path]:
    """A socket that echoes what it is asked to do, with some mishaps to order."""

    async def perform(do: str, args: Mapping[str, Any], who: str) -> dict[str, Any]:
        if do == "full":
            raise StoreFull("no room", where="/data", hint="free space")
        if do == "bug":
            raise ZeroDivisionError("a mistake of ours")
        if do == "forever":
            await asyncio.Event().wait()
        return {"do": do, "args": args, "who": who}

    async with local_api(folder / "s", lambda: status, perform):
        yield folder / "s"


async def say(path: Path, text: bytes | None, *, close: bool = False) -> dict[str, Any]:
    """What a program in any language would get: sends `text`, closes its writing end if asked to, reads to the end."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        if text is not None:
            writer.write(text)
        if close:
            writer.write_eof()
        async with asyncio.timeout(10):
            answer: dict[str, Any] = json.loads(await reader.read())
            return answer
    finally:
        writer.close()
        await writer.wait_closed()


async def test_who_asks_nothing_gets_the_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "REQUEST_S", 0.05)
    async with served(tmp_path) as path:
        assert await ask(path) == STATUS
        assert await say(path, None, close=True) == STATUS
        assert await say(path, None) == STATUS, "as the first gateways answered"
        assert await say(path, b'{"ask":"status"}\n') == STATUS
        assert await say(path, b'{"ask":"status"}', close=True) == STATUS


async def test_what_is_to_be_done_is_done_in_the_name_the_kernel_knows(tmp_path: Path) -> None:
    async with served(tmp_path) as path:
        result = await tell(path, "retry", {"spans": [[1, 2]], "who": "root, honestly"})
    assert result == {
        "do": "retry",
        "args": {"spans": [[1, 2]], "who": "root, honestly"},
        "who": user_name(os.getuid()),
    }
    assert user_name(4_000_000_000) == "4000000000"


async def test_an_error_arrives_as_what_it_was(tmp_path: Path) -> None:
    async with served(tmp_path) as path:
        with pytest.raises(StoreFull) as failed:
            await tell(path, "full", {})
    assert (failed.value.what, failed.value.where, failed.value.hint) == ("no room", "/data", "free space")


async def test_a_bug_is_logged_and_answered_and_the_next_one_is_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path) as path:
        with caplog.at_level(logging.ERROR), pytest.raises(GatewayError, match="failed to answer"):
            await tell(path, "bug", {})
        assert "ZeroDivisionError" in caplog.text
        assert (await tell(path, "retry", {}))["do"] == "retry"
    async with served(tmp_path, {"not JSON": object()}) as path:
        with pytest.raises(GatewayError, match="failed to answer"):
            await ask(path)


@pytest.mark.parametrize(
    "text",
    [
        b"status\n",
        b"[]\n",
        b"7\n",
        b'{"do":7}\n',
        b'{"do":"retry","args":[]}\n',
        b'{"do":"retry","sudo":true}\n',
        b'{"ask":"everything"}\n',
        b"\xff\xfe\n",
        b'{"do":"' + b"x" * api.REQUEST_BYTES + b'"}\n',
    ],
    ids=lambda text: text[:20],
)
async def test_a_question_nobody_understands_is_refused(tmp_path: Path, text: bytes) -> None:
    async with served(tmp_path) as path:
        answer = await say(path, text)
        assert (answer["ok"], answer["code"]) == (False, "bad-argument")
        assert await ask(path) == STATUS


async def test_a_request_that_is_too_long_is_an_error_for_who_sends_it(tmp_path: Path) -> None:
    async with served(tmp_path) as path:
        with pytest.raises(BadArgument, match="cannot be read"):
            await tell(path, "retry", {"spans": "x" * api.REQUEST_BYTES})


async def test_who_hangs_up_or_never_reads_stops_nobody(tmp_path: Path) -> None:
    async with served(tmp_path, {"much": "x" * 5_000_000}) as path:
        deaf = socket.socket(socket.AF_UNIX)
        deaf.connect(str(path))
        gone = socket.socket(socket.AF_UNIX)
        gone.connect(str(path))
        gone.sendall(b'{"ask":"status"}\n')
        gone.close()
        assert len((await ask(path))["much"]) == 5_000_000
        deaf.close()


async def test_a_gateway_that_stops_meanwhile_says_so_to_who_waits(tmp_path: Path) -> None:
    async with served(tmp_path) as path:
        waiting = asyncio.create_task(tell(path, "forever", {}))
        await ask(path)
        await asyncio.sleep(0.05)
    async with asyncio.timeout(10):
        with pytest.raises(NotRunning, match="went away"):
            await waiting
    with pytest.raises(NotRunning, match="no gateway answers"):
        await tell(path, "retry", {})
    assert not path.exists()


async def test_a_gateway_from_before_an_update_is_told_from_one_that_refuses(tmp_path: Path) -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if slow:
            await reader.readline()
        writer.write(b'{"gateway":"38-test-01"}\n')
        writer.close()

    slow: list[bool] = []
    server = await asyncio.start_unix_server(old, tmp_path / "s")
    async with server:
        assert await ask(tmp_path / "s") == {"gateway": "38-test-01"}
        slow.append(True)
        with pytest.raises(NotRunning, match="too old"):
            await tell(tmp_path / "s", "retry", {})


async def test_only_user_and_group_may_ask(tmp_path: Path) -> None:
    async with served(tmp_path) as path:
        assert path.stat().st_mode & 0o777 == 0o660


async def test_without_a_socket_the_gateway_runs_all_the_same(tmp_path: Path) -> None:
    async with served(tmp_path / "nothing here") as path:
        assert not path.exists()


async def test_a_socket_that_cannot_be_taken_away_is_no_failure(tmp_path: Path) -> None:
    async with served(tmp_path) as path:
        path.unlink()
        path.mkdir()  # as little to be removed as a socket on a disk that became read-only
