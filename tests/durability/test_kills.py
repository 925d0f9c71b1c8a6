"""T2: kill -9 at random moments, with a real broker and a centre that keeps books and goes on sending commands.

The whole of it: GATEWAY_TEST_KILLS=500 (about five minutes).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from buffer.inspect import read_only, unsettled
from gateway.ioc.ledger import Ledger
from gateway.ioc.receiver import Receiver
from gateway.model.clock import SystemClock
from gateway.model.errors import UplinkError
from tests.durability.announcer import GW, LAMP, Order, command_id
from tests.durability.life import hear, life
from tests.durability.promises import Promises
from tests.kit.brokers import Mosquitto, mosquitto

KILLS = int(os.environ.get("GATEWAY_TEST_KILLS", "12"))
# The whole range of the design when there is time for it; the short run dies younger.
LONGEST_S = 0.8 if KILLS > 50 else 0.45
ROUND = 25  # kills on one store
LAST_RECORDS = 40


class Centre:
    """What the far side sees: which record came with which id, and what became of each command."""

    def __init__(self, broker: Mosquitto) -> None:
        self.receiver = Receiver(host="127.0.0.1", port=broker.port, listener=self.listen)
        self.records: dict[int, str] = {}
        self.sent: Counter[float] = Counter()
        self.states: dict[str, set[str]] = {}
        self.twice: list[tuple[int, str, str]] = []

    def listen(self, topic: str, message: Mapping[str, Any]) -> None:
        if "/tele/" not in topic:
            return
        for record in message["m"]:
            text = str(record["v"] if record["ind"] != "gw.command" else record["p"]["id"])
            if self.records.setdefault(record["rid"], text) != text:
                self.twice.append((record["rid"], self.records[record["rid"]], text))
            if record["ind"] == "gw.command":
                self.states.setdefault(record["p"]["id"], set()).add(record["v"])

    async def command_for_ever(self, random: Random) -> None:
        """New ones and old ones again, whether anybody listens or not."""
        while True:
            old = sorted(self.sent)[-5:]
            level = random.choice(old) if old and random.random() < 0.5 else random.random() * 100
            self.sent[level] += 1
            now_ms = self.receiver.clock.now_ms()
            request = {"s": "cmd/1", "id": command_id(level), "gw": GW, "iss": "ioc-demo", "iat": now_ms, "ttl": 60,
                       "op": "light.set", "to": [LAMP], "arg": {"level": level}}  # fmt: skip
            with contextlib.suppress(TimeoutError, UplinkError):
                await self.receiver.send_raw(GW, request, timeout_s=0.1)

    async def until_all_came(self, promises: Promises) -> None:
        def all_came(ledger: Ledger) -> bool:
            return len(self.records) >= max(promises.found)

        try:
            await self.receiver.until(all_came, 20)
        except TimeoutError:
            missing = sorted(promises.found.keys() - self.records.keys())
            raise AssertionError(f"never came: {missing[:20]} of {max(promises.found)}") from None
        assert self.twice == [], "ids were given twice"


async def kills(folder: Path, broker: Mosquitto, count: int, random: Random) -> tuple[Promises, Centre]:
    """One store, `count` kills, and a last life that ends in order."""
    promises, centre, store = Promises(), Centre(broker), folder / "store.sqlite3"
    folder.mkdir()
    async with centre.receiver, contextlib.AsyncExitStack() as stack:
        commands = asyncio.create_task(centre.command_for_ever(random))
        following = await stack.enter_async_context(life(folder))
        for number in range(count):
            process, following = following, await stack.enter_async_context(life(folder))
            again = sorted(promises.acted)[-3:]
            await process.begin(
                Order(path=str(store), run=f"kill{number}", broker=broker.port, repeat=again, pause_s=0.005)
            )
            await asyncio.sleep(random.uniform(0.05, LONGEST_S))
            await process.kill()
            hear(promises, process)
        commands.cancel()
        await following.begin(
            Order(path=str(store), run="last", broker=broker.port, records=LAST_RECORDS, pause_s=0.05)
        )
        assert await following.ended() == 0, following.log
        hear(promises, following)
        assert "Traceback" not in following.log, following.log
        promises.kept_in(store)
        with read_only(store) as connection:
            assert not unsettled(connection), following.log
        await centre.until_all_came(promises)
    return promises, centre


async def test_kill_9_loses_nothing_doubles_nothing_and_no_command_acts_twice(tmp_path: Path) -> None:
    random = Random(22_11)
    acted = told = 0
    async with mosquitto(tmp_path / "broker") as broker:
        for at in range(0, KILLS, ROUND):
            promises, centre = await kills(tmp_path / f"store{at}", broker, min(ROUND, KILLS - at), random)
            ours = {rid: text for rid, text in centre.records.items() if promises.found[rid]}
            assert ours == {rid: text for rid, text in promises.found.items() if text}
            assert sorted(centre.records) == list(range(1, max(promises.found) + 1))
            assert promises.acted.keys() <= centre.states.keys(), "every act has its outcome"
            assert {command: states for command, states in centre.states.items() if len(states) != 1} == {}
            await promises.kept(tmp_path / f"store{at}" / "store.sqlite3", SystemClock(trusted=True))
            acted += len(promises.acted)
            told += promises.top
    assert acted >= KILLS // 4
    assert told > 50 * KILLS
    print(f"{KILLS} kills, {told} records told, {acted} commands acted")  # noqa: T201  # for the long run by hand
