"""Booting an image-based Linux.

Read `choice` (which root and entry), `load` (their bytes), `cmdline`, `assurance` (what was verified), `machine`.
"""
