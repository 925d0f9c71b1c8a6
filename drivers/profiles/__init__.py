"""Device profiles: what a device can say, as pure data. One YAML file a device in config/devices.

A profile holds no expressions and no code. It carries examples (registers, lines, frames, messages, and the values
they mean), which one test runs through the decoders, the simulator and the driver. `parse` takes the tree of a YAML
file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Final, get_args

from pydantic import ConfigDict, Field, TypeAdapter

from drivers.profiles.contact import ContactPoint, ContactProfile
from drivers.profiles.json_values import HttpProfile, JsonPoint, MqttProfile
from drivers.profiles.lines import FramePoint, FramesProfile, LinePoint, LineShape, LinesProfile
from drivers.profiles.modbus import Limits, ModbusPoint, ModbusProfile, Order, Table, Write
from drivers.profiles.point import DeviceProfile, Point, Simulate
from drivers.profiles.tt10 import Tt10Point, Tt10Profile

__all__ = [
    "AnyProfile", "ContactPoint", "ContactProfile", "DeviceProfile", "FramePoint", "FramesProfile",
    "HttpProfile",
    "JsonPoint", "Limits", "LinePoint", "LineShape", "LinesProfile", "ModbusPoint", "ModbusProfile", "MqttProfile",
    "Order", "Point", "Profile", "Simulate", "Table", "Tt10Point", "Tt10Profile", "Write", "adapter", "parse",
]  # fmt: skip

AnyProfile = ModbusProfile | LinesProfile | FramesProfile | Tt10Profile | MqttProfile | HttpProfile | ContactProfile
Profile = Annotated[AnyProfile, Field(discriminator="driver")]

_ANY: Final[TypeAdapter[AnyProfile]] = TypeAdapter(Profile, config=ConfigDict(defer_build=True))
_KINDS: Final[Mapping[str, type[AnyProfile]]] = {
    get_args(kind.model_fields["driver"].annotation)[0]: kind for kind in get_args(AnyProfile)
}


@cache
def adapter(driver: str) -> TypeAdapter[AnyProfile]:
    """For profiles of this `driver`; where there is no such kind, the one that says which there are. Made on demand:
    the rules of a kind that a site does not have cost memory for nothing."""
    return TypeAdapter(_KINDS[driver]) if driver in _KINDS else _ANY


def parse(tree: Any) -> AnyProfile:
    """The profile of a YAML tree. Raises pydantic.ValidationError with the path of every finding (the first
    part of a path is the driver kind)."""
    return _ANY.validate_python(tree)
