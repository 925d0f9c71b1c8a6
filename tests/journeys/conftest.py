"""Real processes, a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit.brokers import Mosquitto, mosquitto
from tests.kit.site import TestSite


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
async def site(tmp_path: Path, broker: Mosquitto) -> AsyncIterator[TestSite]:
    folder = tmp_path / "gw"
    folder.mkdir()
    made = TestSite(folder, broker.port)
    yield made
    await made.kill()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.journey)
