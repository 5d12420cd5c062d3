"""The serve floor: an NBD server for any device.

`Server` serves `Export`s on Unix and TCP sockets, with TLS from `load_tls`; `ForkingServer` does it with several
processes. `Negotiation` and `Requests` are the protocol without I/O. Everything that a client could use up is in
`Limits`; what was done is in `Statistics`.
"""

from bootpath.serve.export import Export, Exports, ExportSource
from bootpath.serve.limits import Limits
from bootpath.serve.live.service import LiveService, Shape
from bootpath.serve.nbd.negotiation import Negotiation, Style, Tls
from bootpath.serve.nbd.requests import Requests
from bootpath.serve.server.forking import ForkingServer
from bootpath.serve.server.server import Server
from bootpath.serve.server.systemd import notify
from bootpath.serve.server.tls import TlsSettings, load_tls
from bootpath.serve.statistics import Statistics

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
