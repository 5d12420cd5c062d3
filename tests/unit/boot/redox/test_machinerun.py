from __future__ import annotations

import jsonschema

from bootpath.boot.redox.machinerun import MachineRun, clock_offset, heard_events
from bootpath.boot.timeline import Step
from bootpath.core.errors import BootError
from bootpath.report.machine import machine_json, render_machine
from bootpath.report.page import page
from bootpath.vm.console import ConsoleLine
from tests.support.tree import schema

SCHEMA = schema("machine")
CONSOLE = [
    ConsoleLine(1.0, "SeaBIOS"),
    ConsoleLine(6.5, "bootpath: @2.000 init started"),
    ConsoleLine(7.0, "bootpath: @2.900 10_lived started: size=8192"),
    ConsoleLine(9.0, "bootpath: @3.500 50_rootfs mounted: disk_reads=1 disk_bytes=4096 disk_waits=1 disk_failures=0"),
]
LOADER = Step("loader", "open RedoxFS", 0.1, 0.2, 0, "", failed=False)


def told() -> MachineRun:
    run = MachineRun(accelerator="tcg")
    run.take_timeline([LOADER], 0.5, heard_events(CONSOLE))
    return run


def test_the_least_late_line_sets_the_clock() -> None:
    assert clock_offset(heard_events(CONSOLE)) == 7.0 - 2.9
    assert clock_offset([]) == 0.0


def test_one_timeline_of_both() -> None:
    run = told()
    assert [(step.actor, step.what, round(step.start_seconds, 3)) for step in run.steps] == [
        ("loader", "open RedoxFS", 0.1),
        ("kernel", "start", 0.5),
        ("init", "started", 6.6),
        ("10_lived", "started", 7.5),
        ("50_rootfs", "mounted", 8.1),
    ]
    assert run.seconds_to_root is not None
    assert round(run.seconds_to_root, 3) == 8.1
    assert run.fallback == {"disk_reads": 1, "disk_bytes": 4096, "disk_waits": 1, "disk_failures": 0}
    assert run.steps[-1].bytes == 4096


def test_a_failure_is_shown_where_it_was() -> None:
    run = MachineRun(accelerator="tcg", failure=BootError("read failed with EINVAL", where="50_rootfs"))
    run.take_timeline([LOADER], 0.5, heard_events([ConsoleLine(9.0, "bootpath: @3.500 50_rootfs failed: read failed")]))
    text = render_machine("disk.img", run)
    assert "FAILED" in text
    assert text.endswith("Verdict: does not boot")
    value = machine_json("disk.img", run, mode="live", preload="plan")
    jsonschema.validate(page(value), SCHEMA)
    assert (value["failure"]["where"], value["failure"]["what"]) == ("50_rootfs", "read failed with EINVAL")
    assert value["fallback"] is None
