"""The status of a service as Prometheus metrics.

Source: "Exposition formats" of the Prometheus documentation, text format 0.0.4, and its "Metric and label naming":
lines end with a line feed, label values escape backslash, quote and line feed, HELP texts backslash and line feed;
counters end in ``_total``, and the unit is in the name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from bootpath import __version__
from bootpath.serve.live.diskstate import DiskState
from bootpath.serve.monitor.status import ServiceStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LABEL_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})

Sample: TypeAlias = tuple[Mapping[str, str], float]
"""Labels and a value."""

METRICS: Mapping[str, tuple[str, str]] = {
    "info": ("gauge", "Version of the server and name of the served disk; the value is always 1."),
    "up_seconds": ("gauge", "Seconds since the status page was started."),
    "disk_size_bytes": ("gauge", "Size of the served disk."),
    "late_disk_state": ("gauge", "State of the disk behind the preload: 1 for the current state, 0 for the others."),
    "preload_bytes": ("gauge", "Bytes that are preloaded."),
    "preload_wanted_bytes": ("gauge", "Bytes that the preload has when it is complete."),
    "preload_failing": ("gauge", "1 while the preload cannot be read, else 0."),
    "overlay_bytes": ("gauge", "Bytes of written blocks that the overlay holds."),
    "requests_total": ("counter", "Requests received, by operation."),
    "request_bytes_total": ("counter", "Bytes that requests covered, by operation."),
    "request_errors_total": ("counter", "Requests answered with an error."),
    "protocol_errors_total": ("counter", "Connections closed because the client violated the protocol."),
    "clients": ("gauge", "Clients that are connected."),
    "connections_total": ("counter", "Connections accepted since the start."),
    "connections_refused_total": ("counter", "Connections refused because there were too many."),
    "queued_requests": ("gauge", "Requests that are queued for a worker or running on one."),
    "waiting_requests": ("gauge", "Requests that are waiting on a worker, for example for a disk."),
}
"""Name, type and HELP text, in the order of the page."""


def render(status: ServiceStatus) -> str:
    """The whole page of metrics."""
    samples = _samples(status)
    return "".join(line for name in METRICS if name in samples for line in _family(name, samples[name]))


def _samples(status: ServiceStatus) -> Mapping[str, Sequence[Sample]]:
    """What the metrics are now; those that do not apply are left out."""
    statistics, hydration = status.statistics, status.hydration
    values: dict[str, float | None] = {
        "up_seconds": round(status.up_seconds, 3),
        "disk_size_bytes": status.size_bytes,
        "preload_bytes": None if hydration is None else hydration.done_bytes,
        "preload_wanted_bytes": None if hydration is None else hydration.total_bytes,
        "preload_failing": None if hydration is None else int(hydration.failure is not None),
        "overlay_bytes": status.overlay_bytes,
        "request_errors_total": statistics.errors,
        "protocol_errors_total": statistics.protocol_errors,
        "clients": statistics.connections,
        "connections_total": statistics.connections_total,
        "connections_refused_total": statistics.connections_refused,
        "queued_requests": statistics.queue_depth,
        "waiting_requests": statistics.waiting_workers,
    }
    return {
        **{name: [({}, value)] for name, value in values.items() if value is not None},
        "info": [({"version": __version__, "disk": status.title, "uri": status.uri}, 1)],
        "late_disk_state": [({"state": state.value}, int(state is status.disk.state)) for state in DiskState],
        "requests_total": _by_operation(statistics.requests),
        "request_bytes_total": _by_operation(statistics.bytes),
    }


def _by_operation(values: Mapping[str, int]) -> list[Sample]:
    return [({"operation": operation}, count) for operation, count in values.items()]


def _family(name: str, samples: Sequence[Sample]) -> Iterator[str]:
    """One metric: "Only one HELP line", "only one TYPE line", before its samples, which stand together."""
    kind, text = METRICS[name]
    yield f"# HELP bootpath_{name} {text.translate(_HELP_ESCAPES)}\n# TYPE bootpath_{name} {kind}\n"
    for labels, value in samples:
        pairs = ",".join(f'{label}="{content.translate(_LABEL_ESCAPES)}"' for label, content in labels.items())
        yield f"bootpath_{name}{{{pairs}}} {value}\n" if pairs else f"bootpath_{name} {value}\n"
