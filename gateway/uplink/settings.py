"""Settings of the way to the operations centre."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Protocol = Literal["auto", "5", "3.1.1"]


class TlsSettings(BaseModel):
    """Files of the encrypted connection. The broker is always verified; there is no way to switch that off."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca: str | None = Field(
        None, min_length=1, description="File with the authority that signed the broker (system's own if left out)."
    )
    cert: str | None = Field(None, min_length=1, description="File with this gateway's certificate.")
    key: str | None = Field(None, min_length=1, description="File with the private key of that certificate.")

    @model_validator(mode="after")
    def _cert_and_key_come_together(self) -> TlsSettings:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together: give both or neither")
        return self


class UplinkSettings(BaseModel):
    """Where records go and how. `effective_port` and `login` give what the defaults come to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(min_length=1, description="Name or address of the centre's MQTT broker.")
    port: int | None = Field(None, ge=1, le=65_535, description="Port of the broker (1883, or 8883 with tls).")
    root: str = Field("ioc", pattern=r"^[A-Za-z0-9_-]+$", description="First level of every topic.")
    protocol: Protocol = Field(
        "auto", description="MQTT version: 5, 3.1.1, or auto: try 5, fall back to 3.1.1 and remember it for a day."
    )
    username: str | None = Field(
        None, min_length=1, description="User name at the broker (the gateway's id if there is a password or tls)."
    )
    password: str | None = Field(
        None, min_length=1, description="Name of the secret that holds the password; never the password itself."
    )
    tls: TlsSettings | None = Field(None, description="Encrypt the connection; {} trusts the system's authorities.")
    keepalive_s: int = Field(
        30, ge=1, le=600, description="Silence after which the line is tested. At most 30 behind a mobile carrier."
    )
    ack_timeout_s: float = Field(
        10, gt=0, le=300, description="An answer that takes longer than this counts as a broken line."
    )
    flush_every_s: float = Field(
        10, ge=0, le=3600, description="Live records wait at most this long for company; alarms never wait."
    )
    heartbeat_s: float = Field(60, gt=0, le=3600, description="Seconds between two signs of life.")
    gzip: bool = Field(False, description="Compress batches over 1 KiB. Ask the centre first: not all can read it.")
    e2e_ack: bool = Field(
        False,
        description="Keep sent records until the centre confirms that it has stored them (message ack), not only until "
        "the broker has them. Ask the centre first.",
    )
    in_flight: int = Field(10, ge=1, le=100, description="Batches on their way at the same time.")

    @field_validator("protocol", mode="before")
    @classmethod
    def _five_may_be_a_number(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @property
    def effective_port(self) -> int:
        if self.port is not None:
            return self.port
        return 1883 if self.tls is None else 8883

    def login(self, gateway_id: str) -> str | None:
        """The user name to send, None for an anonymous connection."""
        if self.username is not None:
            return self.username
        return gateway_id if self.password is not None or self.tls is not None else None
