"""Settings of a camera: where its picture comes from and what is counted in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]

STREAM_SCHEMES = ("rtsp://", "rtsps://")

# COCO classes a street or a square is asked for, in the order of the signals.
MODEL_CLASSES = ("person", "bicycle", "motorcycle", "car", "bus", "truck")
# Without a model only "something moved" is known.
MOTION_CLASSES = ("vehicle",)


class LineSettings(BaseModel):
    """A counting line. Ways are named by the picture: up/down, or left/right for a steep line."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    start: tuple[Share, Share] = Field(
        alias="from",
        description="One end, as shares of the picture's width and height: [0, 0] is its upper left corner.",
    )
    end: tuple[Share, Share] = Field(alias="to", description="The other end, likewise.")
    classes: tuple[str, ...] | None = Field(
        None, min_length=1, description="What is counted here, if not everything the camera counts."
    )
    indicator: str = Field("traffic.count", min_length=1, description="Indicator code of the counts of this line.")

    @model_validator(mode="after")
    def _has_length(self) -> LineSettings:
        if max(abs(self.start[0] - self.end[0]), abs(self.start[1] - self.end[1])) < 0.02:
            raise ValueError("the two ends of a line must lie apart (at least 0.02 of the picture)")
        return self

    @property
    def ways(self) -> tuple[str, str]:
        """The two names of crossing it: ("up", "down") or ("left", "right").

        Shares, not pixels, decide which; a line at about 45 degrees should be drawn clearly one way.
        """
        flat = abs(self.start[0] - self.end[0]) >= abs(self.start[1] - self.end[1])
        return ("up", "down") if flat else ("left", "right")


class CameraSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        min_length=1,
        description="A video file (relative to the site file) or rtsp://user@camera/path. Use the camera's "
        "sub-stream, H.264, about 640x360, 8 to 10 pictures a second.",
    )
    password: str | None = Field(
        None, min_length=1, description="Name of the secret file with the camera's password, never the password itself."
    )
    pace: Literal["real", "fast"] = Field(
        "fast",
        description="Files only. real: the file stands in for a camera, in real time and over again at its end; "
        "fast: once, as fast as the machine can.",
    )
    fps: float = Field(
        8,
        ge=1,
        le=60,
        description="Pictures looked at per second. 5 is enough for people, 8 to 10 for motorbikes and main roads.",
    )
    every_s: float = Field(1, ge=0.2, le=60, description="Seconds between two reports of counts.")
    model: str | None = Field(
        None, min_length=1, description="ONNX detector (relative to the site file). None: anything that moves counts."
    )
    threads: int = Field(1, ge=1, le=8, description="Processor cores the detector may use.")
    classes: tuple[str, ...] | None = Field(
        None, min_length=1, description="What is counted. Default: people and vehicles with a model, else `vehicle`."
    )
    anchor: Literal["foot", "centre"] = Field(
        "foot", description="The point of an object that must cross: foot, or centre for a view from straight above."
    )
    stall_s: float | None = Field(
        None,
        ge=1,
        le=300,
        description="Silence after which the camera process is killed. Default: files 5, else 20.",
    )
    lines: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")], LineSettings] = Field(
        min_length=1, description="Counting lines by name."
    )

    @model_validator(mode="after")
    def _holds_no_password(self) -> CameraSettings:
        user, at, _ = self.source.rpartition("@")
        if self.is_stream and at and ":" in user.partition("://")[2]:
            raise ValueError("no passwords in this file: write rtsp://USER@camera/path and name a secret in `password`")
        return self

    @model_validator(mode="after")
    def _a_report_holds_pictures(self) -> CameraSettings:
        if self.every_s * self.fps < 2:
            raise ValueError("a report must hold at least two pictures: raise every_s or fps")
        return self

    @model_validator(mode="after")
    def _motion_has_one_class(self) -> CameraSettings:
        asked = {name for line in self.lines.values() for name in self.classes_of(line)}
        if self.model is None and asked != set(MOTION_CLASSES):
            raise ValueError("without a model only the class `vehicle` is known: leave `classes` out or name a model")
        return self

    @property
    def is_stream(self) -> bool:
        return self.source.startswith(STREAM_SCHEMES)

    @property
    def stall_limit_s(self) -> float:
        return self.stall_s if self.stall_s is not None else (20.0 if self.is_stream else 5.0)

    def classes_of(self, line: LineSettings) -> tuple[str, ...]:
        """What is counted at a line: its own classes, else the camera's, else the method's."""
        return line.classes or self.classes or (MODEL_CLASSES if self.model else MOTION_CLASSES)

    def located(self, path: str, base: Path) -> str:
        """A file named in these settings, absolute; relative ones start at the site file's folder `base`."""
        return str((base / path).absolute())
