"""A snapshot as Prometheus metrics.

Source: "Exposition formats" of the Prometheus documentation, text format 0.0.4, and its "Metric and label naming":
lines end with a line feed, label values escape backslash, quote and line feed, HELP texts backslash and line feed;
counters end in ``_total``, and the unit is in the name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bootpath import __version__
from bootpath.serve.live.diskstate import DiskState
from bootpath.serve.monitor.monitor import Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LABEL_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


def render(snapshot: Snapshot) -> str:
    """The whole page of metrics."""
    return "".join(_families(snapshot))


def _families(snapshot: Snapshot) -> Iterator[str]:
    statistics, hydration = snapshot.statistics, snapshot.hydration
    about = {"version": __version__, "disk": snapshot.title, "uri": snapshot.uri}
    yield from _labelled("info", "gauge", "What is served, and by whom; always 1.", [(about, 1)])
    yield from _one("up_seconds", "gauge", "Since the service was first looked at.", round(snapshot.up_seconds, 3))
    yield from _one("disk_size_bytes", "gauge", "Size of the served disk.", snapshot.size_bytes)
    yield from _labelled(
        "late_disk_state",
        "gauge",
        "How it stands with the disk behind the preload: 1 for the one state that it is in.",
        [({"state": state.value}, int(state is snapshot.disk.state)) for state in DiskState],
    )
    if hydration is not None:
        yield from _one("preload_bytes", "gauge", "What has been preloaded.", hydration.done_bytes)
        yield from _one("preload_wanted_bytes", "gauge", "What is to be preloaded.", hydration.total_bytes)
        yield from _one(
            "preload_failing", "gauge", "1 while the preload cannot be read.", int(hydration.failure is not None)
        )
    if snapshot.overlay_bytes is not None:
        yield from _one("overlay_bytes", "gauge", "What the overlay holds of written blocks.", snapshot.overlay_bytes)
    yield from _labelled(
        "requests_total", "counter", "Requests that were answered.", _by_operation(statistics.requests)
    )
    yield from _labelled(
        "request_bytes_total", "counter", "Bytes that answered requests were about.", _by_operation(statistics.bytes)
    )
    yield from _one("request_errors_total", "counter", "Requests that were answered with an error.", statistics.errors)
    yield from _one("protocol_errors_total", "counter", "Clients that broke the protocol.", statistics.protocol_errors)
    yield from _one("clients", "gauge", "Clients now.", statistics.connections)
    yield from _one("connections_total", "counter", "Clients ever.", statistics.connections_total)
    yield from _one(
        "connections_refused_total", "counter", "Clients refused as too many.", statistics.connections_refused
    )
    yield from _one("queued_requests", "gauge", "Requests queued for a worker, or running.", statistics.queue_depth)
    yield from _one(
        "waiting_requests", "gauge", "Requests that wait, for a disk for example.", statistics.waiting_workers
    )


def _by_operation(values: Mapping[str, int]) -> list[tuple[Mapping[str, str], int]]:
    return [({"operation": operation}, count) for operation, count in values.items()]


def _one(name: str, kind: str, text: str, value: float) -> Iterator[str]:
    return _labelled(name, kind, text, [({}, value)])


def _labelled(name: str, kind: str, text: str, rows: Sequence[tuple[Mapping[str, str], float]]) -> Iterator[str]:
    """One metric: "Only one HELP line", "only one TYPE line", before its samples, which stand together."""
    yield f"# HELP bootpath_{name} {text.translate(_HELP_ESCAPES)}\n# TYPE bootpath_{name} {kind}\n"
    for labels, value in rows:
        pairs = ",".join(f'{label}="{content.translate(_LABEL_ESCAPES)}"' for label, content in labels.items())
        yield f"bootpath_{name}{{{pairs}}} {value}\n" if pairs else f"bootpath_{name} {value}\n"
