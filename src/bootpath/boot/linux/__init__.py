"""Booting an image-based Linux.

Read `choice` (which roots), `menu` (which entry), `cmdline`, `assurance` (who vouches for what runs), `candidate` (one
root is loaded), `load` (one after the other), `result` (what it came to), `machine` (and the boot itself).
"""
