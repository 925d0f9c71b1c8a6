"""The scripted camera keeps what a driver promises (gateway.model.ports.Driver), as far as it has no wire to pull."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import pytest

from gateway.model.errors import DriverError
from gateway.model.measure import Reading, Reason
from tests.kit.clock import ManualClock
from tests.kit.scripted_camera import Scene, ScriptedCamera
from tests.kit.warp import WarpClock, WarpLoop
from vision.driver import camera_signals
from vision.settings import CameraSettings, LineSettings

LINE = LineSettings.model_validate({"from": [0.1, 0.5], "to": [0.9, 0.5], "classes": ["car", "motorcycle"]})
SETTINGS = CameraSettings(source="rtsp://camera/sub", model="m.onnx", every_s=60, lines={"l1": LINE})
SCENES = [Scene(at=0, counts={"l1/car/up": 100}), Scene(at=600, blind=True), Scene(at=900, counts={"l1/car/down": 50})]


def in_warped_time(work: Callable[[ScriptedCamera], Awaitable[None]], every_s: float = 60) -> None:
    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, WarpLoop)
        settings = SETTINGS.model_copy(update={"every_s": every_s})

        async def run() -> None:
            await work(ScriptedCamera("cam", settings, WarpClock(loop), SCENES))

        runner.run(run())


async def taken(camera: ScriptedCamera, batches: int) -> list[Sequence[Reading]]:
    async with camera, contextlib.aclosing(camera.batches()) as stream:
        return [await anext(stream) for _ in range(batches)]


def of(signal: str, batches: Sequence[Sequence[Reading]]) -> list[Reading]:
    return [reading for batch in batches for reading in batch if reading.signal == signal]


def test_it_gives_the_signals_of_the_real_camera_each_once_a_report() -> None:
    async def work(camera: ScriptedCamera) -> None:
        known = [signal.id for signal in camera.signals]
        assert known == [signal.id for signal in camera_signals("cam", SETTINGS)]
        for batch in await taken(camera, 20):
            assert [reading.signal for reading in batch] == known

    in_warped_time(work)


@pytest.mark.parametrize("every_s", [7, 60])
def test_as_many_cross_as_are_written_down_whatever_its_period(every_s: float) -> None:
    async def work(camera: ScriptedCamera) -> None:
        batches = await taken(camera, int(600 // every_s))
        assert sum(int(r.value or 0) for r in of("cam/l1/car/up", batches)) == int(
            600 // every_s * every_s * 100 / 3600
        )

    in_warped_time(work, every_s)


def test_what_is_not_seen_is_missing_and_never_a_zero() -> None:
    async def work(camera: ScriptedCamera) -> None:
        batches = await taken(camera, 20)
        blind = of("cam/l1/car/up", batches)[10:15]
        assert {(r.value, r.reasons) for r in blind} == {(None, (Reason.OBSCURED_VIEW,))}
        assert [r.value for r in of("cam/frames", batches)] == [1.0] * 10 + [0.0] * 5 + [1.0] * 5
        assert sum(int(r.value or 0) for r in of("cam/l1/car/down", batches)[15:]) == 4, "5 min of 50 an hour"

    in_warped_time(work)


def test_it_must_be_entered_can_be_entered_again_and_leaving_never_raises() -> None:
    async def work(camera: ScriptedCamera) -> None:
        with pytest.raises(DriverError):
            await anext(camera.batches())
        await camera.__aexit__(None, None, None)
        assert await taken(camera, 1)
        assert await taken(camera, 1)
        assert not camera.health()["cam"].online

    in_warped_time(work)


def test_a_script_that_counts_what_the_camera_does_not_is_refused() -> None:
    with pytest.raises(ValueError, match="l1/bus/up"):
        ScriptedCamera("cam", SETTINGS, ManualClock(), [Scene(at=0, counts={"l1/bus/up": 1})])
