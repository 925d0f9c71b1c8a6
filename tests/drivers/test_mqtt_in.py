"""Devices that publish: whom we believe, what a broker may do to us, and what it must never do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import drivers
from drivers.mqtt_in import ear as ear_module
from drivers.mqtt_in.driver import MqttInDriver, belongs
from drivers.mqtt_in.ear import Broker, Ear
from drivers.settings import DeviceSettings, MqttInWire
from drivers.simulate import simulated
from drivers.turns import Turns
from gateway.model.clock import SystemClock
from gateway.model.errors import LinkDown, Unsupported
from gateway.model.measure import Quality, Reading, Reason
from tests.drivers.kinds.mqtt_in import GOOD, apart, mqtt_profile
from tests.drivers.kit import by_signal, secret, site, take
from tests.kit.brokers import CONNACK, CONNECT, SUBACK, SUBSCRIBE, Manners, _packet, _read_packet, mosquitto, scripted

UP, STATE = "application/7/device/a84040/event/up", "bins/a84040"


def driver_at(port: int, base: Path, every_s: float = 0.2, **more: Any) -> MqttInDriver:
    wire = MqttInWire(kind="mqtt_in", host="127.0.0.1", port=port, **more)
    devices = {"bin": (DeviceSettings(profile="bin", wire="w", every_s=every_s, **apart(0)), mqtt_profile())}
    made = drivers.build("w", wire, devices, drivers.Surroundings(SystemClock(), base, secret))
    assert isinstance(made, MqttInDriver)
    return made


@contextlib.asynccontextmanager
async def device_at(port: int) -> AsyncIterator[Ear]:
    """Somebody who publishes."""
    ear = Ear(Broker("device", "127.0.0.1", port))
    await ear.open()
    try:
        yield ear
    finally:
        await ear.close()


async def hear(driver: MqttInDriver, device: Ear, messages: Sequence[tuple[str, Any]], seconds: float) -> list[Reading]:
    """What the driver makes of messages that are published while it listens."""
    listening = asyncio.create_task(take(driver, seconds))
    await asyncio.sleep(0)
    for topic, payload in messages:
        device.say(topic, payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    return [reading for batch in await listening for reading in batch]


@pytest.mark.parametrize(
    ("topic", "wanted", "is_one"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/+", True),
        ("a/b/c", "a/+", False),
        ("a", "a/+", False),
        ("a/", "a/+", True),
        ("a/x/c", "a/+/c", True),
        ("A/b", "a/b", False),
        ("a/+", "a/b", False),
    ],
)
def test_a_topic_belongs_where_the_standard_says(topic: str, wanted: str, is_one: bool) -> None:
    assert belongs(topic, wanted) is is_one


@pytest.mark.parametrize("topic", ["", "a/#", "a+/b", "a/b+", "a\0"])
def test_a_topic_that_cannot_be_subscribed_to_is_refused(topic: str) -> None:
    with pytest.raises(ValidationError):
        mqtt_profile(topics={"up": topic, "state": "s"})


async def test_a_real_broker_brings_what_the_devices_publish(tmp_path: Path) -> None:
    async with mosquitto(tmp_path / "broker") as broker:
        wire = MqttInWire(kind="mqtt_in", host="127.0.0.1", port=broker.port)
        devices = {
            name: (DeviceSettings(profile="bin", wire="w", every_s=0.1, **apart(n)), mqtt_profile())
            for n, name in enumerate(("left", "right"))
        }
        driver = drivers.build("w", wire, devices, drivers.Surroundings(SystemClock(), tmp_path))
        async with simulated({"w": wire}, devices, tmp_path), driver:
            readings = by_signal(await take(driver, 0.65))
            assert {signal: found[-1].value for signal, found in readings.items()} == GOOD
            assert all(len(found) >= 4 for found in readings.values())
            broker.stop()
            with pytest.raises(LinkDown) as caught:
                await take(driver, 3)
            assert caught.value.where == "w"
        await broker.start()
        async with driver:
            pass


async def test_what_the_broker_kept_is_shown_but_is_no_reading(tmp_path: Path) -> None:
    async with mosquitto(tmp_path / "broker") as broker, device_at(broker.port) as device:
        device._client.publish(STATE, b'{"leak": "ON"}', retain=True)
        device._client.publish(UP, b'{"object": {"level": 125}}', qos=1, retain=True)
        await asyncio.sleep(0.05)
        driver = driver_at(broker.port, tmp_path)
        async with driver:
            found = await hear(driver, device, [], 0.35)
            assert {reading.reasons for reading in found} == {(Reason.NO_ANSWER,)}
            assert not driver.health()["bin"].online
        async with driver:
            level, leak = await driver.read_once("bin", "level"), await driver.read_once("bin", "leak")
            assert (level[0].reading.value, level[0].reading.quality) == (1250, Quality.UNCERTAIN)
            assert level[0].reading.reasons == (Reason.STALE,)
            assert leak[0].reading.reasons == (Reason.NO_ANSWER,), "it came once, and was not for this question"
            found = await hear(driver, device, [(STATE, {"leak": "ON"})], 0.15)
            assert [(r.signal, r.value, r.quality) for r in found] == [("bin/leak", True, Quality.GOOD)]


async def test_a_message_speaks_only_of_what_is_in_it(tmp_path: Path) -> None:
    async with mosquitto(tmp_path / "broker") as broker, device_at(broker.port) as device:
        driver = driver_at(broker.port, tmp_path, every_s=0.4)
        async with driver:
            found = await hear(driver, device, [(UP, {"object": {"level": 125}}), (STATE, {"leak": "OFF"})], 0.5)
            assert [(r.signal, r.value) for r in found] == [("bin/level", 1250), ("bin/leak", False)]
            found = await hear(driver, device, [(UP, {"rxInfo": [{"rssi": -80}], "object": {"level": None}})], 0.7)
        said = {(r.signal, r.value, r.reasons) for r in found}
        assert ("bin/rssi", -80, ()) in said
        assert ("bin/level", None, (Reason.DEVICE_FAULT,)) in said
        assert ("bin/leak", None, (Reason.NO_ANSWER,)) in said


async def test_a_change_between_the_turns_is_heard_at_once(tmp_path: Path) -> None:
    async with mosquitto(tmp_path / "broker") as broker, device_at(broker.port) as device:
        driver = driver_at(broker.port, tmp_path, every_s=600)
        async with driver:
            words = ["OFF", "OFF", "ON", "ON", "OFF"]
            found = await hear(driver, device, [(STATE, {"leak": word, "a/b": "tilt"}) for word in words], 0.3)
    assert [r.value for r in found if r.signal == "bin/leak"] == [False, True, False]
    assert [r.value for r in found if r.signal == "bin/state"] == ["tilted"]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"on",
        b"\xa5" * 40,
        b'{"object": {"level": NaN}}',
        b"[" * 50_000,
        b'{"object": "' + b"x" * 1_000_000 + b'"}',
    ],
    ids=["empty", "no JSON", "no text", "NaN", "deep", "huge"],
)
async def test_rubbish_is_a_bad_frame_and_disturbs_nothing(tmp_path: Path, payload: bytes) -> None:
    async with mosquitto(tmp_path / "broker") as broker, device_at(broker.port) as device:
        driver = driver_at(broker.port, tmp_path)
        async with driver:
            found = await hear(driver, device, [(UP, payload), (STATE, {"leak": "ON"})], 0.35)
            assert ("bin/leak", True) in {(r.signal, r.value) for r in found}
            assert {r.reasons for r in found if r.signal == "bin/level"} == {(Reason.BAD_FRAME,)}
            found = await hear(driver, device, [(UP, payload), (UP, {"object": {"level": 7}})], 0.15)
            assert ("bin/level", 70) in {(r.signal, r.value) for r in found}


@pytest.mark.parametrize(
    "found", [[], {}, "x", {"object": []}, {"object": {"level": "12"}}, {"object": {"level": [1]}}]
)
def test_json_of_another_shape_is_no_value(tmp_path: Path, found: Any) -> None:
    driver = driver_at(1, tmp_path)
    (device,) = driver._devices.values()
    turns = Turns([s.id for s in device.signals], 1, device.watch, 0)
    message = ear_module.Message(UP, json.dumps(found).encode(), retained=False)
    assert {reading.value for reading in device.take(turns, message, 1, 1)} <= {None}


# --- what a broker may do ----------------------------------------------------------------------------------------


class Stingy:
    """A broker that takes everybody and grants these topics only."""

    def __init__(self, granted: set[str]) -> None:
        self.granted = granted
        self.greetings: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, _, body = await _read_packet(reader)
                if kind == CONNECT:
                    self.greetings.append(body)
                    writer.write(_packet(CONNACK, b"\0\0"))
                elif kind == SUBSCRIBE:
                    writer.write(_packet(SUBACK, body[:2] + bytes(self._codes(body[2:]))))
        writer.close()

    def _codes(self, body: bytes) -> list[int]:
        codes = []
        while body:
            end = 2 + int.from_bytes(body[:2], "big")
            codes.append(1 if body[2:end].decode() in self.granted else 0x80)
            body = body[end + 1 :]
        return codes


@contextlib.asynccontextmanager
async def stingy(*granted: str) -> AsyncIterator[tuple[int, Stingy]]:
    broker = Stingy(set(granted))
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], broker
    finally:
        server.close()
        for writer in broker.writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


async def test_a_denied_topic_is_noticed_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with stingy("bins/a84040") as (port, _):
        driver = driver_at(port, tmp_path)
        async with driver:
            assert "denies us application/+/device/a84040/event/up" in caplog.text
            found = [reading for batch in await take(driver, 0.55) for reading in batch]
            assert {r.reasons for r in found if r.signal == "bin/level"} == {(Reason.DEVICE_REFUSED,)}
            assert {r.reasons for r in found if r.signal == "bin/leak"} == {(Reason.NO_ANSWER,)}
            assert driver.health()["bin"].why == "device-refused"
            (row,) = await driver.read_once("bin", "level")
            assert "access rules" in row.error


async def test_name_and_secret_are_given_and_no_two_have_one_id(tmp_path: Path) -> None:
    login = {"user": "gw", "password": "mqtt-in"}
    async with stingy() as (port, broker):
        for _ in range(2):
            async with driver_at(port, tmp_path, **login):
                pass
    first, second = broker.greetings
    assert b"\x00\x02gw" in first
    assert first.endswith(b"secret of mqtt-in")
    assert first[10:] != second[10:]
    assert "secret of" not in repr(driver_at(port, tmp_path, **login)._broker)


@pytest.mark.parametrize(
    ("manners", "says"),
    [
        (Manners(connack=5), "Not authorized"),
        (Manners(connack="close"), "hung up"),
        (Manners(connack="nothing"), "no answer"),
    ],
)
async def test_a_broker_that_does_not_take_us_is_link_down(
    tmp_path: Path, manners: Manners, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ear_module, "TIMEOUT_S", 0.2)
    async with scripted(manners) as broker:
        with pytest.raises(LinkDown, match=says) as caught:
            await driver_at(broker.port, tmp_path).__aenter__()
    assert (caught.value.where, bool(caught.value.hint)) == ("w", True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_cancelled_entry_leaves_nothing_behind(tmp_path: Path) -> None:
    async with scripted(Manners(connack="nothing")) as broker:
        for pause in (0, 0.001, 0.05):
            entering = asyncio.create_task(driver_at(broker.port, tmp_path).__aenter__())
            await asyncio.sleep(pause)
            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entering
        async with asyncio.timeout(2):
            while broker._writers:
                await asyncio.sleep(0.01)
    async with asyncio.timeout(2):
        while asyncio.all_tasks() != {asyncio.current_task()}:
            await asyncio.sleep(0.01)


async def test_a_broker_that_freezes_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ear_module, "KEEPALIVE_S", 1)
    async with mosquitto(tmp_path / "broker") as broker, driver_at(broker.port, tmp_path) as driver:
        broker.freeze()
        with pytest.raises(LinkDown):
            await take(driver, 6)


async def test_the_way_is_encrypted_with_a_certificate_we_know(tmp_path: Path) -> None:
    key, ca = tmp_path / "key.pem", tmp_path / "ca.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", str(key), "-out", str(ca), "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    async with mosquitto(tmp_path / "broker", options=(f"certfile {ca}", f"keyfile {key}")) as broker:
        driver = driver_at(broker.port, tmp_path, ca="ca.pem")
        async with driver:
            async with asyncio.timeout(5):
                assert driver._ear is not None
                await driver._ear.listen([STATE])
                driver._ear.say(STATE, b'{"leak": "ON"}')
                assert (await driver._ear.message(3)) is not None
        other = tmp_path / "other.pem"
        other.write_bytes(ca.read_bytes()[:-60] + b"\n")
        for wrong, says in (("other.pem", "SSL|certificate|PEM"), ("none.pem", "none.pem|No such file")):
            with pytest.raises(LinkDown, match=says):
                await driver_at(broker.port, tmp_path, ca=wrong).__aenter__()
        with pytest.raises(LinkDown):
            await driver_at(broker.port, tmp_path).__aenter__()


# --- the far end -------------------------------------------------------------------------------------------------


async def test_a_rehearsal_without_the_broker_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "amqtt.broker", None)
    with pytest.raises(Unsupported, match="demo"):
        async with site("mqtt_in", tmp_path):
            pass


async def test_a_rehearsal_does_not_pretend_to_encrypt(tmp_path: Path) -> None:
    with pytest.raises(LinkDown, match="leave out"):
        async with site("mqtt_in", tmp_path, ca="ca.pem"):
            pass


async def test_a_broker_that_is_there_stays_when_the_rehearsal_ends(tmp_path: Path) -> None:
    async with mosquitto(tmp_path / "broker") as broker:
        async with site("mqtt_in", tmp_path) as made:
            wire = made.wire.model_copy(update={"port": broker.port})
            async with simulated({"w": wire}, made.devices, tmp_path):
                pass
        async with device_at(broker.port):
            pass


def test_nobody_else_loads_the_broker_or_the_client() -> None:
    code = "import drivers.modbus.driver, drivers.serial_lines.driver, drivers.simulate, sys; "
    code += "sys.exit(any(name in sys.modules for name in ('amqtt', 'aiomqtt', 'paho')))"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False, timeout=30).returncode == 0
