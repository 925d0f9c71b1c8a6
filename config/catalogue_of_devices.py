"""DEVICES.md from the device profiles that come with the gateway.

python -P -m config.catalogue_of_devices > DEVICES.md
"""

from __future__ import annotations

import sys

from config.profiles import own_folder, read_profile
from drivers.profiles import AnyProfile

_BEGINNING = """# Devices / Thiết bị

What the gateway can read without another line of code: one file a device in [config/devices](config/devices). This
page is made from them by `make docs`.

*Confirmed* means that the register map, frame or message was found in a public document or program, which the profile
names; it does not mean that anybody here held the device in hand. The others have assumed addresses: `gateway check`
warns, and each value has to be compared with the device's own display.

*"Confirmed" nghĩa là bảng thanh ghi có trong tài liệu công khai mà hồ sơ nêu tên. Các hồ sơ còn lại dùng địa chỉ giả
định: phải so từng số với màn hình của thiết bị trước khi tin.*

A device that is not here is one YAML file: `gateway profile new` begins it from a register table,
`gateway profile check` and `gateway profile try` prove it. See [drivers/README.md](drivers/README.md).

| profile | device | thiết bị | wire | points | confirmed | source |
|---|---|---|---|--:|---|---|
"""


def profiles() -> list[AnyProfile]:
    """All profiles that come with the gateway, by name. Their own test keeps them sound."""
    found = (read_profile(file)[0] for file in sorted(own_folder().glob("*.yaml")))
    return [profile for profile in found if profile is not None]


def document() -> str:
    """The whole text of DEVICES.md."""
    return _BEGINNING + "".join(_row(profile) for profile in profiles())


def _row(profile: AnyProfile) -> str:
    source = profile.source.replace("|", "/")
    cells = (
        f"[`{profile.profile}`](config/devices/{profile.profile}.yaml)",
        f"{profile.title_en}{f' ({profile.maker})' if profile.maker else ''}".replace("|", "/"),
        profile.title_vi.replace("|", "/"),
        ", ".join(sorted(profile.WIRES)),
        str(len(profile.points_by_name())),
        "yes" if profile.confirmed else "no",
        f"[{source}]({profile.url})" if profile.url else source,
    )
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    sys.stdout.write(document())
