"""Disks in files that are not simply all of the file: compressed ones, sparse ones, those of virtual machines.

`open` decides by the file's first bytes which of the others reads it. All are only read.
"""
