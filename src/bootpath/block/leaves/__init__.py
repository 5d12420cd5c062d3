"""Devices with nothing below them: files, memory, constants, and disks that are reached over NBD, HTTP or S3.

`open` says which one a name means; the client of NBD reads from `nbdhandshake` over `nbdconnection` to `nbdclient`.
"""
