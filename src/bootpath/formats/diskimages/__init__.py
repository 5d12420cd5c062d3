"""Formats of files whose disk is not simply all of the file: compressed, sparse, or of a virtual machine.

`recognise` tells them apart by how they begin; the others parse of each what decides how it may be opened.
"""
