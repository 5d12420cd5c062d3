"""The serve floor: an NBD server for any device.

`Server` serves `Export`s on Unix and TCP sockets, with TLS from `load_tls`; `ForkingServer` does it with several
processes. `Negotiation` and `Requests` are the protocol without I/O. Everything that a client could use up is in
`Limits`; what was done is in `Statistics`.
"""

from bootpath.serve.export import Export, Exports, ExportSource
from bootpath.serve.forking import ForkingServer
from bootpath.serve.limits import Limits
from bootpath.serve.livedisk import LiveService, Shape
from bootpath.serve.negotiation import Negotiation, Style, Tls
from bootpath.serve.protocol import Requests
from bootpath.serve.server import Server
from bootpath.serve.statistics import Statistics
from bootpath.serve.systemd import notify
from bootpath.serve.tls import TlsSettings, load_tls

__all__ = [
    "Export",
    "ExportSource",
    "Exports",
    "ForkingServer",
    "Limits",
    "LiveService",
    "Negotiation",
    "Requests",
    "Server",
    "Shape",
    "Statistics",
    "Style",
    "Tls",
    "TlsSettings",
    "load_tls",
    "notify",
]
