"""gateway simulate FILE: the other end of every wire of a site, on this machine."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer


def simulate(
    file: Annotated[Path, typer.Argument(help="The site file. / Tệp cấu hình điểm.")],
) -> None:
    """Bring up every device of a site from its profile, to rehearse it on a desk. / Mô phỏng thiết bị của điểm.

    Modbus TCP answers on the site's ports (this machine only), serial lines on ptys at the site's port paths.
    """
    from config.site import LoadedSite, load_site
    from drivers.simulate import simulated

    site = load_site(file)

    async def serve(site: LoadedSite) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        devices = {name: (settings, site.profiles[name]) for name, settings in site.document.devices.items()}
        async with simulated(site.document.wires, devices, site.base):
            names = ", ".join(devices)
            sys.stderr.write(f"simulating / đang mô phỏng: {names}; Ctrl-C stops\n")
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            await stop.wait()

    asyncio.run(serve(site))
