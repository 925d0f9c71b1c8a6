"""Instruments that send frames of bytes by themselves, or when asked. See README.md."""
