"""Copy-on-write over a device that is never written: `ram` keeps the changes in memory, `file` in a file.

Of the file, read `blockmap`, `journal` and `writer` in this order; its format is `formats.overlayfile`.
"""
