"""Holds every message against the schema of its topic."""

from __future__ import annotations

import gzip
import json
from functools import cache

from jsonschema import Draft202012Validator

from gateway.uplink import schemas


@cache
def _validator(name: str) -> Draft202012Validator:
    schema = schemas.load(name)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def check(topic: str, payload: bytes) -> None:
    """Raises AssertionError if the message is not what its topic's schema says, or the topic is none of ours."""
    name = schemas.for_topic(topic)
    assert name is not None, f"no schema for {topic}"
    message = json.loads(gzip.decompress(payload) if payload[:2] == b"\x1f\x8b" else payload)
    errors = [f"{topic} {error.json_path}: {error.message}" for error in _validator(name).iter_errors(message)]
    assert not errors, "\n".join(errors)
