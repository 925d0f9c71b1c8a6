"""The document of one site. Every room brings its own settings; this file only says where they stand."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from buffer.settings import BufferSettings
from config.zones import Route, Zone
from drivers.settings import DeviceSettings, WireSettings
from gateway.commands.settings import CommandSettings
from gateway.indicators.limit_profiles import LimitUse
from gateway.indicators.settings import PublishedEntry
from gateway.pipeline.settings import PointSettings
from gateway.uplink.settings import UplinkSettings
from gateway.uplink.tt10.settings import Tt10Export
from vision.settings import CameraSettings

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=48)]


class Place(BaseModel):
    """Where the site is. Codes of the two-tier units of 2025 (Quyết định 19/2025/QĐ-TTg): texts, zeros count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    province: str = Field(pattern=r"^[0-9]{2}$", description='Code of the province, two digits in quotes: "38".')
    commune: str = Field(pattern=r"^[0-9]{5}$", description='Code of the commune, five digits in quotes: "00004".')
    lat: float = Field(ge=-90, le=90, description="Latitude in degrees, WGS 84.")
    lon: float = Field(ge=-180, le=180, description="Longitude in degrees, WGS 84.")


class Site(BaseModel):
    """A whole site file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gateway: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{2,47}$",
        description="Name of this box: MQTT client id, user name and certificate CN.",
    )
    site: str = Field(min_length=1, max_length=200, description="What people call this place.")
    place: Place = Field(description="Where it is: province, commune, lat, lon.")
    zones: dict[Name, Zone] = Field(default_factory=dict, description="Pieces of ground that figures are about.")
    routes: dict[Name, Route] = Field(default_factory=dict, description="Roads, rivers, rails, dykes with posts.")
    state_dir: str = Field(min_length=1, description="Folder for the store and the local socket.")
    clock: Literal["kernel", "trusted"] = Field(
        "kernel", description="kernel: believe the kernel's NTP state; trusted: something else keeps the clock right."
    )
    uplink: UplinkSettings = Field(description="Where records go.")
    buffer: BufferSettings = Field(default_factory=BufferSettings, description="How records are kept.")
    wires: dict[Name, WireSettings] = Field(default_factory=dict, description="One entry for each line or connection.")
    devices: dict[Name, DeviceSettings] = Field(default_factory=dict, description="What answers on which wire.")
    cameras: dict[Name, CameraSettings] = Field(default_factory=dict, description="Cameras whose pictures are counted.")
    points: dict[str, PointSettings] = Field(
        default_factory=dict, description="What to change of what the profiles say."
    )
    indicators: list[PublishedEntry] = Field(
        default_factory=list, description="What is derived and sent, by its code: gateway catalogue list."
    )
    limits: list[LimitUse] = Field(
        default_factory=list, description="What values are held against: gateway limits list."
    )
    events: list[Annotated[str, Field(min_length=1)]] = Field(
        default_factory=list, description="Event files, as paths from this file: events/le-hoi-lam-kinh-2026.yaml."
    )
    tt10: list[Tt10Export] = Field(
        default_factory=list, description="Files of Thông tư 10/2021/TT-BTNMT for the authority, one entry a station."
    )
    commands: CommandSettings = Field(default_factory=CommandSettings, description="Who may do what.")
