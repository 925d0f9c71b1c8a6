"""The edge gateway: sensors, cameras and street lights to the operations centre."""

__version__ = "0.4.0"
