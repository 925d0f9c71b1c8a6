"""Devices and stations that answer GET with JSON."""
