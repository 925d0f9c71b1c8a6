"""What a site says of its wires and of the devices on them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Parity = Literal["none", "even", "odd"]
TellsApart = Literal["unit", "address", "pin"]


class _Wire(BaseModel):
    """TELLS_APART: the key of a device that tells it from the others on the wire; None: the wire carries one device.
    PATHS: keys that name files, folders or ports of this machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    TELLS_APART: ClassVar[TellsApart | None] = None
    PATHS: ClassVar[tuple[str, ...]] = ()


class ModbusTcpWire(_Wire):
    """One TCP connection with one or more units behind it."""

    TELLS_APART: ClassVar[TellsApart | None] = "unit"

    kind: Literal["modbus_tcp"]
    host: str = Field(min_length=1, description="IP address or name of the device or of its TCP gateway.")
    port: int = Field(502, ge=1, le=65_535, description="TCP port; 502 unless the device says otherwise.")
    timeout_s: float = Field(1.0, gt=0, le=60, description="How long one answer may take.")
    pause_s: float = Field(0.0, ge=0, le=10, description="Rest between two requests, for devices that need one.")
    settle_s: float = Field(0.0, ge=0, le=10, description="Rest after connecting, for devices that need one.")


class _Serial(_Wire):
    PATHS: ClassVar[tuple[str, ...]] = ("port",)

    port: str = Field(min_length=1, description="Serial port, best by /dev/serial/by-id; relative to the site file.")
    baud: int = Field(9600, ge=300, le=4_000_000, description="Bits per second, the same for all units of the pair.")
    parity: Parity = Field("none", description="none, even or odd; the same for all units of the pair.")
    stop_bits: Literal[1, 2] = Field(1, description="1 or 2.")


class ModbusRtuWire(_Serial):
    """One RS-485 pair with one or more units on it."""

    TELLS_APART: ClassVar[TellsApart | None] = "unit"

    kind: Literal["modbus_rtu"]
    timeout_s: float = Field(0.5, gt=0, le=60, description="How long a unit may think before its answer begins.")
    pause_s: float = Field(0.0, ge=0, le=10, description="Silence between two requests; 3.5 characters at least.")
    echo: bool = Field(False, description="True for adapters that hand back what they send.")


class TextLinesWire(_Serial):
    """One serial port with one instrument that sends lines of text."""

    kind: Literal["text_lines"]
    data_bits: Literal[7, 8] = Field(8, description="7 or 8.")


class BinaryFramesWire(_Serial):
    """One serial port with one instrument that sends frames of bytes."""

    kind: Literal["binary_frames"]


class FtpDrop(BaseModel):
    """Where stations bring their files by FTP. Nobody can read or delete there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: str = Field("127.0.0.1", description="Address to listen on; beyond this machine only if you say so.")
    port: int = Field(2121, ge=1, le=65_535, description="TCP port to listen on.")
    passive_ports: tuple[int, int] | None = Field(None, description="Ports for data: [first, last].")
    user: str = Field(min_length=1, description="Name the station logs in with.")
    password: str = Field(
        pattern=r"^[a-z][a-z0-9_-]{0,63}$", description="Name of the secret file that holds the password."
    )


class Tt10FilesWire(_Wire):
    """A folder in which TT10 files of one or more stations appear."""

    TELLS_APART: ClassVar[TellsApart | None] = "address"
    PATHS: ClassVar[tuple[str, ...]] = ("folder",)

    kind: Literal["tt10_files"]
    folder: str = Field(min_length=1, description="Folder to watch, with its sub-folders; relative to the site file.")
    after: Literal["delete", "keep"] = Field("keep", description="What happens to a file that was read and stored.")
    memory: str | None = Field(
        None, min_length=1, description="With keep: the list of files that were read; FOLDER.read if left out."
    )
    ftp: FtpDrop | None = Field(None, description="Let stations bring their files to this folder by FTP.")


class _WithLogin(_Wire):
    user: str | None = Field(None, description="Name to log in with.")
    password: str | None = Field(
        None, pattern=r"^[a-z][a-z0-9_-]{0,63}$", description="Name of the secret file that holds the password."
    )

    @model_validator(mode="after")
    def _a_password_has_its_name(self) -> Self:
        if self.password is not None and self.user is None:
            raise ValueError("`password` needs the `user` it belongs to")
        return self


class MqttInWire(_WithLogin):
    """A broker on site to which devices already publish."""

    TELLS_APART: ClassVar[TellsApart | None] = "address"

    kind: Literal["mqtt_in"]
    host: str = Field(min_length=1, description="Address of the local broker.")
    port: int = Field(1883, ge=1, le=65_535, description="TCP port of the broker.")
    ca: str | None = Field(None, description="Certificate that signed the broker's; with it the way is encrypted.")


class HttpPollWire(_WithLogin):
    """A device or station that answers GET with JSON."""

    TELLS_APART: ClassVar[TellsApart | None] = "address"

    kind: Literal["http_poll"]
    url: str = Field(pattern=r"^https?://[^\s@]+$", description="Beginning of every request: http://192.168.1.40")
    auth: Literal["basic", "digest"] = Field("basic", description="How it wants name and password.")
    timeout_s: float = Field(3.0, gt=0, le=60, description="How long one answer may take.")

    @field_validator("url")
    @classmethod
    def _url_is_a_place(cls, url: str) -> str:
        parts = urlsplit(url)
        if not parts.hostname or parts.port == 0:
            raise ValueError("there is no host in it, or no such port")
        if parts.query or parts.fragment:
            raise ValueError("only host, port and folder; what follows ? and # belongs to the profile's requests")
        return url


class GpioWire(_Wire):
    """Input pins of this machine."""

    TELLS_APART: ClassVar[TellsApart | None] = "pin"
    PATHS: ClassVar[tuple[str, ...]] = ("chip",)

    kind: Literal["gpio"]
    chip: str = Field("/dev/gpiochip0", description="The chip that has the pins; see gpiodetect.")


WireSettings = Annotated[
    ModbusTcpWire
    | ModbusRtuWire
    | TextLinesWire
    | BinaryFramesWire
    | Tt10FilesWire
    | MqttInWire
    | HttpPollWire
    | GpioWire,
    Field(discriminator="kind"),
]
AnyWire = (
    ModbusTcpWire
    | ModbusRtuWire
    | TextLinesWire
    | BinaryFramesWire
    | Tt10FilesWire
    | MqttInWire
    | HttpPollWire
    | GpioWire
)

SERIAL = (ModbusRtuWire, TextLinesWire, BinaryFramesWire)
"""The kinds that run over a serial port."""


class DeviceSettings(BaseModel):
    """One device of the site: what it is, where it hangs, how often it is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str = Field(min_length=1, description="Name of a device profile: config/devices, or beside the site file.")
    wire: str = Field(min_length=1, description="Name of the wire it hangs on.")
    unit: int | None = Field(None, ge=0, le=247, description="Modbus unit number.")
    address: str | None = Field(
        None,
        pattern=r"^[^\s/+#?]{1,64}$",
        description="What it is called on its wire: station of the TT10 files, name or EUI in its topics or requests.",
    )
    pin: int | None = Field(None, ge=0, le=511, description="Number of the input pin on its chip; see gpioinfo.")
    every_s: float = Field(gt=0, le=86_400, description="Seconds between two readings.")
