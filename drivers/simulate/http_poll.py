"""The far end of an HTTP wire: a small HTTP/1.1 server that answers GET with what its devices say now."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from drivers.http_poll.paths import target
from drivers.json_values import as_text, told
from drivers.profiles import HttpProfile
from drivers.settings import HttpPollWire
from drivers.simulate.far_end import GARBAGE, SimulatedDevice, Stage
from drivers.simulate.served import Peer, ServedEnd


def make(wire: HttpPollWire, devices: Mapping[str, SimulatedDevice], stage: Stage) -> HttpEnd:  # noqa: ARG001 - alike
    return HttpEnd(wire, devices)


class HttpEnd(ServedEnd):
    """Serves every request of its devices' profiles; 404 for all else. `fault.refuse` is a status here."""

    def __init__(self, wire: HttpPollWire, devices: Mapping[str, SimulatedDevice]) -> None:
        super().__init__()
        self._wire = wire
        self._routes: dict[str, tuple[SimulatedDevice, HttpProfile, str]] = {}
        for device in devices.values():
            assert isinstance(device.profile, HttpProfile)  # noqa: S101 - config checks that profiles fit their wires
            for source, path in device.profile.requests.items():
                parts = urlsplit(target(wire.url, path, device.settings.address))
                self._routes[parts._replace(scheme="", netloc="").geturl()] = device, device.profile, source
        self._played: dict[str, Mapping[str, Any]] = {}

    @property
    def at(self) -> str:
        return self._wire.url

    async def serve(self) -> asyncio.Server:
        parts = urlsplit(self._wire.url)
        if parts.scheme == "https":
            raise OSError("a rehearsal has no certificate")
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Peer(self), parts.hostname, parts.port or 80)

    def play(self, device: str, given: Any) -> None:
        self._played[device] = given

    def request(self, transport: asyncio.Transport, path: str) -> None:
        if path not in self._routes:
            transport.write(_answer(404, b"{}"))
            return
        device, profile, source = self._routes[path]
        device.requests += 1
        faults = (self.fault, device.fault)
        if any(fault.silent for fault in faults):
            return
        status = self.fault.refuse or device.fault.refuse or 200
        garbage = any(fault.garbage for fault in faults)
        answer = _answer(status, GARBAGE if garbage else self._says(device, profile, source))
        delay_s = max(fault.delay_s for fault in faults)
        asyncio.get_running_loop().call_later(delay_s, _send, transport, answer)

    def _says(self, device: SimulatedDevice, profile: HttpProfile, source: str) -> bytes:
        played = self._played.get(device.name, {})
        if source in played:
            return as_text(played[source]).encode()
        return json.dumps(told(profile.points, source, device.world.value)).encode()


def _answer(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _send(transport: asyncio.Transport, answer: bytes) -> None:
    if not transport.is_closing():
        transport.write(answer)


class _Peer(Peer[HttpEnd]):
    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            method, _, rest = head.decode("latin-1").partition(" ")
            if method == "GET":
                self.end.request(self.transport, rest.partition(" ")[0])
            else:
                self.transport.write(_answer(405, b"{}"))
