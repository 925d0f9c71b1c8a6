"""Alarms in a running gateway: at once in the first lane, committed with their state, acknowledged by people."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.alarm_desk import AlarmDesk
from gateway.api import ask, local_api, tell
from gateway.cli.alarm_verbs import lines_of
from gateway.commands.desk import Desk
from gateway.commands.settings import CommandSettings
from gateway.indicators.alarms import Alarms
from gateway.ioc.ledger import Ledger
from gateway.model.errors import BadArgument
from gateway.model.limit import Limit, Threshold
from gateway.model.measure import Kind, Signal
from gateway.model.ports import IncomingCommand, Lane
from gateway.uplink import encode
from tests.kit import schemas
from tests.kit.clock import ManualClock

LEVEL = Signal(
    id="bridge/level", point="bridge/level", indicator="water.level", unit="m", kind=Kind.MEAN, every_s=10,
    name_en="Level", name_vi="Mực nước",
)  # fmt: skip
RULE = Threshold(
    id="flood/bridge", levels=(2.5, 3.5), communes=("14797",),
    limit=Limit(op="<", value=2.5, over_s=0, basis="QĐ 05/2020/QĐ-TTg", clause="", profile="flood"),
)  # fmt: skip
HEAD = encode.Letterhead("38-test-01", "7c41f00d", 1, "00000000")


class Site:
    """A store and the alarms of one level, as often started as wanted."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.file = folder / "s.sqlite3"
        self.ledger = Ledger()

    def store(self) -> Store:
        return Store(self.file, BufferSettings(commit_every_s=0.01), self.clock)

    async def start(self, store: Store, *rules: Threshold) -> AlarmDesk:
        desk = AlarmDesk(Alarms({LEVEL.id: rules or (RULE,)}, {LEVEL.id: LEVEL}), store, self.clock)
        await desk.open(store.keepsakes)
        return desk

    async def measure(self, desk: AlarmDesk, value: float | None) -> None:
        self.clock.advance(10)
        await desk.say(desk.alarms.look(LEVEL.id, value, self.clock.now_ms()))

    async def send(self, store: Store) -> list[dict[str, Any]]:
        """What is in the first lane goes to the centre."""
        batch = await store.outbox.take(Lane.URGENT, 200, 65536)
        if batch is None:
            return []
        payload = encode.envelope(HEAD, batch, self.clock.now_ms(), synced=True)
        schemas.check("ioc/v1/38-test-01/tele/live", payload)
        self.ledger.take("ioc/v1/38-test-01/tele/live", payload)
        store.outbox.settle(batch)
        await store.flush()
        return list(json.loads(payload)["m"])

    def centre(self) -> list[str]:
        """Ids of the alarms that are open for the centre."""
        return [record["al"]["id"] for record in self.ledger.book("38-test-01").open_alarms()]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_an_alarm_is_committed_when_it_was_said_and_lives_through_a_restart(site: Site) -> None:
    async with site.store() as store:
        desk = await site.start(store)
        await site.measure(desk, 3.0)
        (raised,) = desk.status()
    async with site.store() as store:
        desk = await site.start(store)
        assert [alarm["id"] for alarm in desk.status()] == [raised["id"]]
        await site.measure(desk, 3.1)
        (record,) = await site.send(store)
        assert (record["ind"], record["al"]["st"], record["al"]["communes"]) == ("gw.alarm", "raised", ["14797"])
        assert site.centre() == [raised["id"]], "it was raised once, before the restart, and sent after it"
        await site.measure(desk, 1.0)
        (record,) = await site.send(store)
        assert (record["v"], record["al"]["st"], record["al"]["id"]) == (0, "cleared", raised["id"])
        assert site.centre() == []


async def test_a_rule_that_was_taken_out_ends_its_alarm_at_the_start_once(site: Site) -> None:
    async with site.store() as store:
        desk = await site.start(store)
        await site.measure(desk, 3.0)
    for expected in (2, 0):
        async with site.store() as store:
            await site.start(store, replace(RULE, id="other"))
            assert len(await site.send(store)) == expected
    assert site.centre() == []


async def test_holds_that_were_kept_go_on(site: Site) -> None:
    patient = replace(RULE, hold_s=15)
    async with site.store() as store:
        desk = await site.start(store, patient)
        await site.measure(desk, 3.0)
        await site.measure(desk, 3.0)
        await desk.keep()
    async with site.store() as store:
        desk = await site.start(store, patient)
        assert desk.alarms.hot() == {LEVEL.id}
        await site.measure(desk, 3.0)
        assert len(desk.status()) == 1


async def test_the_verb_acknowledges_and_the_journal_says_who(site: Site, tmp_path: Path) -> None:
    socket = tmp_path / "gateway.sock"
    async with site.store() as store:
        desk = await site.start(store)
        async with local_api(socket, lambda: {"alarms": desk.status()}, desk.perform):
            await site.measure(desk, 3.6)
            (alarm,) = (await ask(socket))["alarms"]
            result = await tell(socket, "alarm.ack", {"id": alarm["id"], "by": "Lê Văn A"})
            assert result == {"id": alarm["id"], "by": "Lê Văn A", "done": True}
            again = await tell(socket, "alarm.ack", {"id": alarm["id"], "by": "B"})
            assert (again["by"], again["done"]) == ("Lê Văn A", False)
            for wrong in ({"id": "0-0"}, {"id": 5}, {}):
                with pytest.raises(BadArgument):
                    await tell(socket, "alarm.ack", wrong)
            with pytest.raises(BadArgument, match="cannot do"):
                await tell(socket, "alarm.clear", {"id": alarm["id"]})
        states = [record["al"]["st"] for record in await site.send(store)]
        assert states == ["raised", "acknowledged"]
        found = await store.journal.last("alarm")
        assert found is not None
        assert {key: found[1][key] for key in ("id", "by", "level", "state")} == {
            "id": alarm["id"], "by": "Lê Văn A", "level": 2, "state": "acknowledged",
        }  # fmt: skip


async def test_the_centre_acknowledges_by_command(site: Site) -> None:
    async with site.store() as store:
        desk = await site.start(store)
        commands = Desk("38-test-01", CommandSettings(), store.claims, {}, site.clock)
        commands.services["alarm.ack"] = desk.serve
        await site.measure(desk, 3.0)
        (alarm,) = desk.status()
        answers = []
        for n, wanted in enumerate((alarm["id"], "nothing")):
            message = {
                "s": "cmd/1", "id": f"command-{n}", "iss": "ioc-th", "by": "trực ban", "iat": site.clock.now_ms(),
                "gw": "38-test-01", "ttl": 30, "op": "alarm.ack", "to": [], "arg": {"id": wanted},
            }  # fmt: skip
            schemas.check("ioc/v1/38-test-01/cmd/req", json.dumps(message).encode())
            answers.append(json.loads(await commands.handle(IncomingCommand(json.dumps(message).encode())) or b""))
        assert [answer["st"] for answer in answers] == ["applied", "failed"]
        assert answers[0]["info"]["by"] == "trực ban"
        assert alarm["id"] in answers[1]["why"], "it says which are open"


async def test_an_alarm_is_readable_on_eighty_columns(site: Site) -> None:
    async with site.store() as store:
        desk = await site.start(store, replace(RULE, text_vi="Báo động {roman}, " + "mực nước cao " * 20))
        await site.measure(desk, 3.6)
        await desk.perform("alarm.ack", {"id": desk.status()[0]["id"]}, "technician")
        lines = lines_of(desk.status()[0], site.clock.now_ms())
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert all(word in text for word in ("level / cấp 2", "Báo động II", "Level 2: Level", "3.6", "technician"))
