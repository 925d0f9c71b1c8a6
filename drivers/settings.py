"""What a site says of its wires and of the devices on them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Parity = Literal["none", "even", "odd"]


class ModbusTcpWire(BaseModel):
    """One TCP connection with one or more units behind it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["modbus_tcp"]
    host: str = Field(min_length=1, description="IP address or name of the device or of its TCP gateway.")
    port: int = Field(502, ge=1, le=65_535, description="TCP port; 502 unless the device says otherwise.")
    timeout_s: float = Field(1.0, gt=0, le=60, description="How long one answer may take.")
    pause_s: float = Field(0.0, ge=0, le=10, description="Rest between two requests, for devices that need one.")


class ModbusRtuWire(BaseModel):
    """One RS-485 pair with one or more units on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["modbus_rtu"]
    port: str = Field(min_length=1, description="Serial port, best by /dev/serial/by-id; relative to the site file.")
    baud: int = Field(9600, ge=300, le=4_000_000, description="Bits per second, the same for all units of the pair.")
    parity: Parity = Field("none", description="none, even or odd; the same for all units of the pair.")
    stop_bits: Literal[1, 2] = Field(1, description="1 or 2.")
    timeout_s: float = Field(0.5, gt=0, le=60, description="How long a unit may think before its answer begins.")
    pause_s: float = Field(0.0, ge=0, le=10, description="Silence between two requests; 3.5 characters at least.")
    echo: bool = Field(False, description="True for adapters that hand back what they send.")


class TextLinesWire(BaseModel):
    """One serial port with one instrument that sends lines of text by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["text_lines"]
    port: str = Field(min_length=1, description="Serial port, best by /dev/serial/by-id; relative to the site file.")
    baud: int = Field(9600, ge=300, le=4_000_000, description="Bits per second.")
    parity: Parity = Field("none", description="none, even or odd.")
    stop_bits: Literal[1, 2] = Field(1, description="1 or 2.")
    data_bits: Literal[7, 8] = Field(8, description="7 or 8.")


WireSettings = Annotated[ModbusTcpWire | ModbusRtuWire | TextLinesWire, Field(discriminator="kind")]


class DeviceSettings(BaseModel):
    """One device of the site: what it is, where it hangs, how often it is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str = Field(min_length=1, description="Name of a device profile: config/devices, or beside the site file.")
    wire: str = Field(min_length=1, description="Name of the wire it hangs on.")
    unit: int | None = Field(None, ge=0, le=247, description="Modbus unit number; text_lines instruments have none.")
    every_s: float = Field(gt=0, le=86_400, description="Seconds between two readings.")
