"""The serve layer: an NBD server for any device.

`Server` serves `Export`s on Unix and TCP sockets, with TLS from `load_tls`; `ForkingServer` does it with several
processes. `Negotiation` and `Requests` are the protocol without I/O. Everything that a client could use up is in
`Limits`; what was done is in `Statistics`.
"""

from bootpath.core.lazyexports import lazy_exports

__getattr__, __dir__ = lazy_exports(__name__, __file__)
