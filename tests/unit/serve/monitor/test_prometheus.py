from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bootpath.block.live.late import LateDisk
from bootpath.serve.live.service import Shape
from bootpath.serve.monitor.prometheus import render
from bootpath.serve.monitor.status import ServiceStatus, observe
from tests.support.status import MIB, SIZE, make_server, make_service


def snapshot(shape: Shape | None = None) -> ServiceStatus:
    service = make_service(steps=2, shape=shape)
    server = make_server(service)
    server._counters.reads = 7
    server._counters.read_bytes = 28672
    server._counters.errors = 1
    return observe(server, service, uri="nbd+unix:///?socket=/run/disk.sock")


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_values() -> None:
    found = samples(render(snapshot()))
    assert found["bootpath_requests_total", (("operation", "read"),)] == 7
    assert found["bootpath_request_bytes_total", (("operation", "read"),)] == 28672
    assert found["bootpath_request_errors_total", ()] == 1
    assert found["bootpath_disk_size_bytes", ()] == SIZE
    assert found["bootpath_preload_bytes", ()] == 2 * MIB
    assert found["bootpath_preload_wanted_bytes", ()] == 3 * MIB
    assert found["bootpath_overlay_bytes", ()] == 0
    assert found["bootpath_late_disk_state", (("state", "present"),)] == 1
    assert found["bootpath_late_disk_state", (("state", "refused"),)] == 0


def test_what_there_is_not_has_no_metric() -> None:
    assert "bootpath_overlay_bytes" not in render(snapshot(Shape(read_only=True)))
    without = replace(snapshot(), hydration=None)
    assert "bootpath_preload" not in render(without)


def test_names_and_types_follow_the_rules() -> None:
    text = render(snapshot())
    assert text.endswith("\n")
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families) == text.count("# TYPE") == text.count("# HELP")
    for family in families:
        assert family.documentation
        assert family.type in ("counter", "gauge")
        for sample in family.samples:
            assert sample.name.startswith("bootpath_")
            assert sample.name.endswith("_total") == (family.type == "counter")


@pytest.mark.parametrize("title", ['a "quoted" disk', "back\\slash", "two\nlines", "\\n", "ü }{,="])
def test_labels_are_escaped(title: str) -> None:
    text = render(replace(snapshot(), title=title))
    (labels,) = [dict(labels) for name, labels in samples(text) if name == "bootpath_info"]
    assert labels["disk"] == title


def test_a_state_that_is_not_present() -> None:
    service = make_service(LateDisk.none())
    found = samples(render(observe(make_server(service), service)))
    states = {labels[0][1]: value for (name, labels), value in found.items() if name == "bootpath_late_disk_state"}
    assert [state for state, value in states.items() if value] == ["none"]
