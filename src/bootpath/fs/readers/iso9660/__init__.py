"""ISO 9660: its `tree`, the `areas` in which Rock Ridge stands, and files compressed by `zisofs`."""
