"""Where a device's requests go. Known to the driver and to the far end of a rehearsal."""

from __future__ import annotations

from urllib.parse import quote


def target(url: str, path: str, address: str | None) -> str:
    """The whole URL: the wire's beginning and a profile's path, with {address} filled in and percent-encoded."""
    filled = path.replace("{address}", quote(address or "", safe=""))
    return f"{url.rstrip('/')}/{filled.lstrip('/')}"
