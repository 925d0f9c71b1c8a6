"""Dry contacts and pulse outputs on input pins of this machine."""
