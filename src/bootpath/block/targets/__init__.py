"""Devices that map what is below them, each in a module of its own; `table` opens them from device-mapper lines."""
