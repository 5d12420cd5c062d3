"""Sockets and processes of the NBD server: `connection`s in a `loop`, `workers` for what waits, `forking`."""
