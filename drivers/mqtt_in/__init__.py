"""Devices that publish to a broker on site. See README.md."""
