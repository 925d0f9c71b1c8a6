"""A copy of a site file for a desk: the same site, at addresses that this machine has.

The original is only read. What the copy says of the wires is true for the simulator and the gateway alike.
"""

from __future__ import annotations

import pathlib
import shutil
import socket
import zlib
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from config.findings import Path
from config.site import LoadedSite
from drivers.settings import SERIAL, AnyWire
from gateway.model.errors import BadArgument, GatewayError

NAME: Final = "rehearsal.yaml"
_HERE: Final = "127.0.0.1"
_FIRST_PORT, _PORTS = 20_000, 10_000  # below the ports that Linux gives to clients
_HEAD: Final = """\
{name}: a copy of {original}
for a desk, made by `gateway simulate --loopback`. It is made anew each time: do not edit it.
Bản sao để diễn tập trên bàn; được tạo lại mỗi lần, không sửa ở đây."""


def rehearsal(
    site: LoadedSite,
    folder: pathlib.Path,
    *,
    broker: tuple[str, int] | None = None,
    without: Collection[str] = (),
    every_s: float | None = None,
) -> pathlib.Path:
    """Writes `folder`/rehearsal.yaml and gives its path; device profiles of the site are copied beside it.

    Wires get loopback addresses and paths under `folder`, without log-ins: the far ends ask for none. The uplink stays
    as it is unless `broker` names another one, (host, port); files for an authority are written and not sent.
    `without`: sections that are left out. `every_s`: no device's period is longer. Ports depend on folder and wire
    only, if they are free, so that a gateway that runs on the copy finds them again.

    Raises BadArgument where the copy would overwrite the original, GatewayError when the folder cannot be written.
    """
    file = folder.absolute() / NAME
    if file.resolve() == site.file.resolve():
        raise BadArgument(f"{file} is the original", where="--loopback", hint="name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _copy_profiles(site, folder)
        changes = _changes(site, folder.absolute(), broker) | {(section,): None for section in without}
        for name, device in site.document.devices.items():
            if every_s is not None and device.every_s > every_s:
                changes["devices", name, "every_s"] = every_s
        _write(site, file, changes)
    except OSError as error:
        raise GatewayError(
            f"cannot be written: {error.strerror}", where=str(folder), hint="name another folder"
        ) from error
    return file


Changes = Mapping[Path, Any]
"""New values by path; None takes the key out."""


def _changes(site: LoadedSite, folder: pathlib.Path, broker: tuple[str, int] | None) -> dict[Path, Any]:
    document = site.document
    changes: dict[Path, Any] = {("state_dir",): "./state"}
    taken: set[int] = set()
    for name, wire in document.wires.items():
        port = _free_port(f"{folder}/{name}", taken)
        changes |= {("wires", name, key): value for key, value in _on_a_desk(name, wire, port).items()}
    for name, camera in document.cameras.items():
        at = ("cameras", name)
        if camera.is_stream or not site.located(camera.source).exists():  # a film to be made or put there
            changes |= {(*at, "source"): f"./run/{name}.mp4", (*at, "pace"): "real", (*at, "password"): None}
        else:
            changes[*at, "source"] = str(site.located(camera.source))
        if camera.model is not None:
            changes[*at, "model"] = str(site.located(camera.model))
    changes |= {("events", number): str(site.located(name)) for number, name in enumerate(document.events)}
    for number, export in enumerate(document.tt10):  # nothing simulated ever goes to an authority
        changes |= {("tt10", number, "folder"): f"./run/tt10-{export.station}", ("tt10", number, "send"): None}
    if broker is not None:
        changes |= {("uplink", "host"): broker[0], ("uplink", "port"): broker[1]}
        changes |= {("uplink", key): None for key in ("tls", "username", "password")}
    elif document.uplink.tls is not None:
        tls = document.uplink.tls.model_dump(exclude_none=True)
        changes |= {("uplink", "tls", key): str(site.located(path)) for key, path in tls.items()}
    return changes


def _on_a_desk(name: str, wire: AnyWire, port: int) -> dict[str, Any]:
    """What changes of a wire. Log-ins fall away: no secret of the site is needed on a desk."""
    dropped = dict.fromkeys(("user", "password", "ca", "ftp", "memory"))
    if isinstance(wire, SERIAL):
        return {"port": f"./run/tty-{name}"}
    if wire.kind == "tt10_files":
        return {**dropped, "folder": f"./run/files-{name}"}
    if wire.kind == "gpio":
        return {"chip": f"./run/chip-{name}"}
    if wire.kind == "http_poll":
        return {**dropped, "url": f"http://{_HERE}:{port}{urlsplit(wire.url).path}"}
    return {**dropped, "host": _HERE, "port": port}


def _free_port(name: str, taken: set[int]) -> int:
    start = zlib.crc32(name.encode())
    for step in range(_PORTS):
        port = _FIRST_PORT + (start + step) % _PORTS
        if port not in taken and _is_free(port):
            taken.add(port)
            return port
    raise GatewayError("no free port on this machine", where=_HERE)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # Linux: still fails while somebody listens
        try:
            probe.bind((_HERE, port))
        except OSError:
            return False
        return True


def _copy_profiles(site: LoadedSite, folder: pathlib.Path) -> None:
    for profile in {device.profile for device in site.document.devices.values()}:
        own = site.base / "devices" / f"{profile}.yaml"
        if own.exists():
            (folder / "devices").mkdir(exist_ok=True)
            shutil.copyfile(own, folder / "devices" / own.name)


def _write(site: LoadedSite, file: pathlib.Path, changes: Changes) -> None:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    tree = yaml.load(site.file.read_text(encoding="utf-8-sig"))
    for path, value in changes.items():
        _put(tree, path, value)
    tree.yaml_set_start_comment(_HEAD.format(name=NAME, original=site.file.absolute()))
    with file.open("w", encoding="utf-8") as out:
        yaml.dump(tree, out)


def _put(tree: Any, path: Path, value: Any) -> None:
    *parents, key = path
    for parent in parents:
        tree = tree[parent]
    if value is not None:
        tree[key] = value
    else:
        tree.pop(key, None)
