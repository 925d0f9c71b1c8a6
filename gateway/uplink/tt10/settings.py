"""Settings of the files for the authority: which parameters, where they are kept, where they go."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.model.tt10 import NO_VALUE, LineEnd

KEPT_DAYS = 60
"""What the circular asks for (Thông tư 10/2021/TT-BTNMT)."""
_SECRET = r"^[a-z][a-z0-9_-]{0,63}$"  # noqa: S105 - the shape of a name


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Parameter(_Strict):
    """One line of the file."""

    point: str = Field(min_length=1, description="The point it shows: device/point, or camera/line/class/way.")
    unit: str = Field(
        min_length=1, max_length=32, pattern=r"^[^\t\r\n]+$", description="Unit as the authority writes it: mg/L."
    )
    decimals: int = Field(3, ge=0, le=6, description="Digits after the point.")


class _Send(_Strict):
    host: str = Field(min_length=1, description="Name or address of the authority's server.")
    user: str = Field(min_length=1, description="Name to log in with, given by the authority.")
    folder: str = Field("/", pattern=r"^\S*$", description="Folder on the server.")
    day_folders: bool = Field(True, description="Put files into folders yyyy/MM/dd below it, made when missing.")
    timeout_s: float = Field(20, gt=0, le=300, description="How long one step may take.")


class SftpSend(_Send):
    """Over SSH. The server is known by its key: a stranger in its place gets neither password nor file."""

    PORT: ClassVar[int] = 22

    kind: Literal["sftp"]
    port: int = Field(22, ge=1, le=65_535, description="TCP port.")
    host_key: str = Field(
        pattern=r"^(ssh-|ecdsa-|sk-)\S+ [A-Za-z0-9+/]+=*( .*)?$",
        description='The server\'s public key, "ssh-ed25519 AAAA...": ask the authority, or see ssh-keyscan.',
    )
    password: str | None = Field(None, pattern=_SECRET, description="Name of the secret file with the password.")
    key: str | None = Field(None, min_length=1, description="File with our private key, instead of a password.")

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.password is None) == (self.key is None):
            raise ValueError("give either `password` (the name of a secret) or `key` (a file)")
        return self


class _FtpSend(_Send):
    port: int = Field(21, ge=1, le=65_535, description="TCP port.")
    password: str = Field(pattern=_SECRET, description="Name of the secret file with the password.")


class FtpsSend(_FtpSend):
    """FTP with explicit TLS, data too. The server's certificate is always verified."""

    kind: Literal["ftps"]
    ca: str | None = Field(
        None, min_length=1, description="File with the authority that signed the server (the system's if left out)."
    )


class FtpSend(_FtpSend):
    """Plain FTP: whoever listens reads the password. Only where the authority offers nothing else."""

    kind: Literal["ftp"]


SendSettings = Annotated[SftpSend | FtpsSend | FtpSend, Field(discriminator="kind")]


class Tt10Export(_Strict):
    """The files of one station."""

    station: str = Field(
        pattern=r"^[A-Za-z0-9]+_[A-Za-z0-9]+_[A-Za-z0-9]+$",
        max_length=64,
        description="TINH_COSO_TRAM, given by the authority: HN_ABCD_NUO001.",
    )
    folder: str = Field(min_length=1, description="Where files are kept; relative to the site file.")
    keep_days: int = Field(KEPT_DAYS, ge=1, le=3660, description="Days that files are kept; at least 60 by TT10.")
    every_s: int = Field(300, ge=5, le=3600, description="Seconds of a file; 300 by TT10. A divisor of an hour.")
    parameters: dict[Annotated[str, Field(pattern=r"^\S{1,32}$")], Parameter] = Field(
        min_length=1, description="Symbol of each line (Phụ lục 15): pH, TSS, COD, NH4, Flow."
    )
    line_end: LineEnd = Field("crlf", description="crlf or lf, as the authority's program wants it.")
    no_value: str = Field(
        NO_VALUE,
        max_length=16,
        pattern=r"^[^\t\r\n]*$",
        description='What stands for a missing value (always with status 01 or 02). "0" looks like a measurement.',
    )
    send: SendSettings | None = Field(None, description="Where files go; left out: they are only kept.")

    @model_validator(mode="after")
    def _slots_fill_an_hour(self) -> Self:
        if 3600 % self.every_s:
            raise ValueError("every_s must divide an hour: 300 for five minutes")
        return self
