"""Instruments that send lines of text by themselves. See README.md."""
