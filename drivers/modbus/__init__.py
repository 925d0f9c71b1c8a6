"""Modbus over TCP and serial lines. See README.md."""
