"""Hosts with Modbus TCP on a subnet that was named."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.modbus.messages import Refused, read
from drivers.modbus.tcp import TcpLine
from drivers.profiles import ModbusProfile
from drivers.scan import Asking, FoundUnit, OpenPort, Recognising, Tell
from drivers.scan.fit import Fit, Look, recognise
from drivers.scan.identity import identity
from drivers.settings import ModbusTcpWire
from gateway.model.clock import Clock
from gateway.model.errors import BadArgument, BadFrame, LinkDown, NoAnswer

UNITS: Final = (1, 0, 255)
"""What a device with its own network port usually answers to."""
LARGEST: Final = 1024
_PROBE: Final = read("holding", 0, 1)
_MOST_LOOKS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class NetPlan:
    """units: asked one after the other; `first_only`: until one answers."""

    hosts: Sequence[str]
    port: int = 502
    units: Sequence[int] = UNITS
    first_only: bool = True
    at_once: int = 32
    connect_s: float = 0.5
    timeout_s: float = 0.5

    @property
    def seconds(self) -> float:
        """How long it takes to learn that nobody is there."""
        return -(-len(self.hosts) // self.at_once) * self.connect_s


def hosts_of(subnet: str, *, public: bool = False) -> list[str]:
    """The addresses of "192.168.1.0/24" or of one host. Raises BadArgument for what is no subnet, larger than /22,
    or, unless `public`, not a private one."""
    try:
        network = ipaddress.ip_network(subnet.strip(), strict=False)
    except ValueError as error:
        raise BadArgument(
            f"{subnet!r} is no subnet", where="SUBNET", hint="192.168.1.0/24, or one address; see `ip addr`"
        ) from error
    if network.num_addresses > LARGEST:
        raise BadArgument(
            f"{subnet} has {network.num_addresses} addresses; {LARGEST} at most (/22)",
            where="SUBNET",
            hint="name the part where the devices are, as 192.168.1.0/24",
        )
    if not network.is_private and not public:
        raise BadArgument(
            f"{subnet} is not a private network: those hosts may belong to others",
            where="SUBNET",
            hint="add --yes if they are yours",
        )
    return [str(host) for host in network.hosts()]


class NetScan:
    """One run over a plan."""

    def __init__(self, plan: NetPlan, profiles: Mapping[str, ModbusProfile], clock: Clock, tell: Tell) -> None:
        self._plan, self._profiles, self._clock, self._tell = plan, profiles, clock, tell
        self._done = 0
        self._looks = asyncio.Semaphore(_MOST_LOOKS)

    async def run(self) -> None:
        """A host that is not there is no error. May be cancelled at any time."""
        hosts = iter(self._plan.hosts)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._plan.at_once, len(self._plan.hosts))):
                group.create_task(self._hosts(hosts))

    async def _hosts(self, hosts: Iterator[str]) -> None:
        for host in hosts:
            await self._host(host)
            self._done += 1
            self._tell(Asking(self._done, len(self._plan.hosts), host))

    async def _host(self, host: str) -> None:
        wire = ModbusTcpWire(kind="modbus_tcp", host=host, port=self._plan.port, timeout_s=self._plan.timeout_s)
        at = f"{host}:{wire.port}"
        line = TcpLine(at, wire, {})
        try:
            try:
                async with asyncio.timeout(self._plan.connect_s):
                    await line.open()
            except (TimeoutError, LinkDown):
                return
            async with self._looks:
                await self._units(line, wire, at)
        finally:
            await line.close()

    async def _units(self, line: TcpLine, wire: ModbusTcpWire, at: str) -> None:
        why, found = "", False
        for unit in self._plan.units:
            try:
                said = await self._ask(line, unit)
                await self._found(line, wire, unit, (said, line.took_s * 1000))
                found = True
            except (NoAnswer, BadFrame) as error:
                why = error.what
                continue
            except LinkDown as error:
                # Some devices hang up after a unit they do not have; the next one deserves a new connection.
                why = error.what
                if not await self._again(line):
                    break
                continue
            if self._plan.first_only:
                break
        if why and not found:
            self._tell(OpenPort(at, why))

    async def _ask(self, line: TcpLine, unit: int) -> str:
        try:
            await line.exchange(unit, _PROBE, self._plan.timeout_s)
        except Refused as refused:
            return f"answered with exception {refused.exception}"
        return "answered"

    async def _again(self, line: TcpLine) -> bool:
        await line.close()
        with contextlib.suppress(TimeoutError, LinkDown):
            async with asyncio.timeout(self._plan.connect_s):
                await line.open()
                return True
        return False

    async def _found(self, line: TcpLine, wire: ModbusTcpWire, unit: int, how: tuple[str, float]) -> None:
        at = f"{wire.host}:{wire.port}"
        self._tell(Recognising(at, unit))
        fits: tuple[Fit, ...] = ()
        untried, says = len(self._profiles), dict[str, str]()
        with contextlib.suppress(LinkDown):  # it lives; that it hangs up on questions is its own matter
            says = await identity(line, unit, self._plan.timeout_s)
            fits, untried = await recognise(Look(line, unit, self._plan.timeout_s, self._clock), self._profiles, says)
        settings = wire.model_copy(update={"timeout_s": 1.0})
        self._tell(
            FoundUnit(
                at=at, wire=settings, unit=unit, said=how[0], answer_ms=how[1], identity=says, fits=fits,
                untried=untried,
            )
        )  # fmt: skip
