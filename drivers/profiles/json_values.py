"""Profiles of devices that speak JSON: over a local MQTT broker, or when asked over HTTP."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from drivers.profiles.point import DeviceProfile, Name, Point, Strict, check_names


class JsonPoint(Point):
    """A value in a JSON text. `source` names a topic or request of the profile; `pointer` is a JSON pointer (RFC 6901).

    What its type does not take is no reading: a number takes a number, a bool true/false and 0/1, a text a text.
    """

    source: str
    pointer: str = Field(
        pattern=r"^(/([^/~]|~[01])*)*$", description='Place in the JSON: "/object/level"; "" is the whole text.'
    )
    type: Literal["number", "bool", "text"] = "number"
    values: dict[str, float | bool | str] = Field(
        default_factory=dict, description='What texts mean, in the point\'s unit: {"ON": true, "OFF": false}.'
    )
    scale: float = 1.0
    offset: float = 0.0
    not_available: tuple[float | str, ...] = Field((), description="Values that mean: no reading.")

    @property
    def is_bool(self) -> bool:
        return self.type == "bool"

    @property
    def is_text(self) -> bool:
        return self.type == "text"

    @model_validator(mode="after")
    def _only_numbers_have_a_scale(self) -> Self:
        if self.type != "number" and (self.scale != 1 or self.offset != 0):
            raise ValueError(f"a {self.type} has no scale or offset")
        if self.scale == 0:
            raise ValueError("scale must not be 0")
        return self

    @model_validator(mode="after")
    def _values_are_of_its_type(self) -> Self:
        wanted = {"bool": bool, "text": str, "number": int | float}[self.type]
        for text, value in self.values.items():
            if not isinstance(value, wanted) or isinstance(value, bool) != self.is_bool:
                raise ValueError(f"values.{text}: {value!r} is no {self.type}")
        return self


class JsonExample(Strict):
    """The JSON of each topic or request, as a tree or as text, and what it means. Null: no reading."""

    given: dict[str, Any]
    expect: dict[str, float | bool | str | None]


class _JsonProfile(DeviceProfile):
    points: dict[Name, JsonPoint] = Field(min_length=1)
    examples: list[JsonExample] = Field(min_length=1)

    def points_by_name(self) -> Mapping[str, JsonPoint]:
        return self.points

    @abstractmethod
    def sources(self) -> Mapping[str, str]:
        """Topics or requests by the name that points use."""

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for name, point in self.points.items():
            if point.source not in self.sources():
                raise ValueError(f"points.{name}.source: there is no {point.source!r}")
        for number, example in enumerate(self.examples):
            for source in example.given:
                if source not in self.sources():
                    raise ValueError(f"examples.{number}.given: there is no {source!r}")
        check_names(self.points, [example.expect for example in self.examples])
        return self


class MqttProfile(_JsonProfile):
    """`topics`: where it publishes; {address} stands for the device's `address` in the site file."""

    WIRES: ClassVar[frozenset[str]] = frozenset({"mqtt_in"})

    driver: Literal["mqtt_json"]
    topics: dict[Name, str] = Field(
        min_length=1, description='Topic names: {up: "zigbee2mqtt/{address}"}; + stands for any one level.'
    )

    def sources(self) -> Mapping[str, str]:
        return self.topics

    @model_validator(mode="after")
    def _topics_can_be_subscribed(self) -> Self:
        for name, topic in self.topics.items():
            if not topic or "#" in topic or "\0" in topic or any("+" in lv and lv != "+" for lv in topic.split("/")):
                raise ValueError(f"topics.{name}: a topic has no #, and + only between two slashes")
        return self


class HttpProfile(_JsonProfile):
    """`requests`: what to GET; {address} stands for the device's `address` in the site file."""

    WIRES: ClassVar[frozenset[str]] = frozenset({"http_poll"})

    driver: Literal["http_json"]
    requests: dict[Name, str] = Field(min_length=1, description='Paths: {status: "/rpc/EM.GetStatus?id={address}"}.')

    def sources(self) -> Mapping[str, str]:
        return self.requests

    @property
    def alone(self) -> bool:
        return not any("{address}" in path for path in self.requests.values())
