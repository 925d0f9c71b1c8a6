"""A station's files come in, files for the authority go out, and a power cut in between changes neither."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from gateway.ioc.receiver import Receiver
from gateway.model import tt10
from tests.kit.brokers import Mosquitto
from tests.kit.site import TestSite
from tests.uplink.tt10_servers import NAME_OF_SECRET, PASSWORD, Sftp

SLOT_MS = 5_000
STATION = "TH_ABCD_NUO001"


def prepare(site: TestSite, authority: Sftp) -> None:
    site.profile["points"]["r1"] |= {"kind": "count", "forward": "windows"}
    site.site["wires"]["logger"] = {"kind": "tt10_files", "folder": "./in"}
    site.site["devices"]["station"] = {
        "profile": "tt10-wastewater-station", "wire": "logger", "address": "TH_ABCD_NUO009", "every_s": 1
    }  # fmt: skip
    site.site["tt10"] = [
        {
            "station": STATION,
            "folder": "./out",
            "every_s": SLOT_MS // 1000,
            "parameters": {"N": {"point": "d1/r1", "unit": "1", "decimals": 0}},
            "send": authority.send(),
        }
    ]
    site.write()
    secret = site.folder / "secrets" / NAME_OF_SECRET
    secret.parent.mkdir()
    secret.write_text(PASSWORD, encoding="utf-8")
    secret.chmod(0o600)


async def test_files_come_in_and_go_out_across_a_power_cut(site: TestSite, broker: Mosquitto, tmp_path: Path) -> None:
    authority = Sftp(tmp_path)
    await authority.start()
    prepare(site, authority)
    environment = {"CREDENTIALS_DIRECTORY": str(site.folder / "secrets")}
    try:
        async with site.devices(), Receiver(host="127.0.0.1", port=broker.port):
            await asyncio.sleep((SLOT_MS - time.time() * 1000 % SLOT_MS) / 1000 + 0.05)  # a slot has just begun
            slot_ms = (int(time.time() * 1000) // SLOT_MS + 1) * SLOT_MS
            await site.start(environment)
            await site.until_status(lambda s: s["store"]["rid_hi"] and s["points"].get("d1/r1"))
            await asyncio.sleep(1.3)  # a window or two
            await site.kill()
            killed_ms = int(time.time() * 1000)
            await site.start(environment)
            status = await site.until_status(lambda s: s["tt10"][STATION]["sent"] >= 1)
            assert status["tt10"][STATION]["error"] == ""
            stopped_ms = int(time.time() * 1000)
            assert await site.terminate() == 0, site.log
    finally:
        await authority.stop()
    stored = list(site.stored().values())
    windows = [r for r in stored if r["pt"] == "d1/r1"]
    assert any(slot_ms - SLOT_MS < r["t1"] < min(slot_ms, killed_ms) for r in windows), (
        "the cut was in the middle of a slot"
    )
    files = {Path(path).name: content for path, content in authority.files().items()}
    assert tt10.file_name(STATION, slot_ms) in files
    for name, content in files.items():
        assert content == content_by_the_store(name, windows)
    assert every_file_came_in(site, stored, stopped_ms)


def content_by_the_store(name: str, windows: list[dict[str, Any]]) -> bytes:
    parsed = tt10.parse_name(name)
    assert parsed is not None
    end_ms = parsed[1]
    count = sum(r["v"] for r in windows if end_ms - SLOT_MS < r["t1"] <= end_ms)
    return f"N\t{count}\t1\t{tt10.stamp(end_ms)}\t00\r\n".encode()


def every_file_came_in(site: TestSite, stored: list[dict[str, Any]], stopped_ms: int) -> bool:
    """Each of the station's files that was there a while before the stop has its values in the store."""
    came = {r["t1"] for r in stored if r["pt"] == "station/ph" and r["v"] is not None}
    folder = site.folder / "in.unplugged"  # the rehearsal takes it away when it ends
    wrote = {parsed[1] for file in folder.glob("*.txt") if (parsed := tt10.parse_name(file.name))}
    return len(came) >= 3 and {at_ms for at_ms in wrote if at_ms < stopped_ms - 2000} <= came
