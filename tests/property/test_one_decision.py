"""One law: whatever is on a disk and whatever is asked, every command comes to one answer on what boots.

Each image is inspected, its entries are listed, and it is loaded as for a machine; every twelfth goes through the
command lines, too. The same answer is: it boots or not, from the same root, by the same entry, with the same command
line, and with an exit code that says the same. `SECONDS` makes it go on with other images; `SEED` makes them others.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from random import Random

import jsonschema
import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.boot.inspection.inspect import inspect_disk
from bootpath.boot.inspection.values import InspectionRequest, LinuxInspection
from bootpath.boot.linux.choice import LinuxVerdict, NextCandidate
from bootpath.boot.linux.cmdline import ParameterSource, command_line_of
from bootpath.boot.linux.listing import list_entries
from bootpath.boot.linux.load import load_linux
from bootpath.boot.linux.machine import machine_parameters
from bootpath.boot.linux.result import LinuxBoot
from bootpath.boot.timeline import Timeline
from bootpath.cli.main import main
from bootpath.image.roots.candidates import is_hidden
from tests.support.randomdisks import PartsBox, RandomDisk
from tests.support.tree import schema

IMAGES, GROUPS = 2000, 8
SEED = int(os.environ.get("SEED", "1"))
SECONDS = float(os.environ.get("SECONDS", "0")) / GROUPS
COMMANDS_EVERY = 12
SCHEMAS = {
    command: jsonschema.Draft202012Validator(schema(name))
    for command, name in (("inspect", "inspect"), ("entries", "entries"), ("boot", "linuxboot"))
}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> PartsBox:
    return PartsBox.fill(tmp_path_factory.mktemp("parts"))


@pytest.mark.parametrize("group", range(GROUPS))
def test_every_command_shows_the_same_decision(
    box: PartsBox, tmp_path: Path, capsys: pytest.CaptureFixture[str], group: int
) -> None:
    started, number, booted = time.monotonic(), 0, 0
    while number < IMAGES // GROUPS or time.monotonic() - started < SECONDS:
        seed = f"{SEED}/{group}/{number}"
        disk = RandomDisk.draw(box, Random(seed))
        said = f"{seed}: {'; '.join(disk.words)}"
        booted += check(disk, said)
        if number % COMMANDS_EVERY == 0:
            check_commands(disk, tmp_path / "disk.img", capsys, said)
        number += 1
    assert 0.1 < booted / number < 0.9, "the images are all alike"


def check(disk: RandomDisk, said: str) -> bool:
    """Compare what the library says; True when it boots."""
    device = MemoryDevice(disk.content)
    loaded = load_linux(device, disk.request, Timeline(lambda: 0.0), machine_parameters=machine_parameters)
    inspection = inspect_disk(device, InspectionRequest(disk.request))
    assert isinstance(inspection, LinuxInspection), said
    assert answer(inspection.boot) == answer(loaded), said
    assert inspection.boots is (loaded.plan is not None), said
    check_laws(disk, loaded, said)
    listing = list_entries(device, inspection.boot)
    chosen = [each for each in listing.entries if each.chosen]
    if loaded.plan is None:
        assert chosen == [], said
        return False
    (one,) = chosen
    assert one.command_line == without_machine(loaded), said
    assert one.found.entry.id == loaded.plan.entry.entry.id, said
    return True


def check_laws(disk: RandomDisk, boot: LinuxBoot, said: str) -> None:
    """Nothing is verified without anybody to trust, and what is set aside is not booted unasked."""
    request, root = disk.request, boot.chosen
    if boot.verdict is LinuxVerdict.VERIFIED:
        assert request.certificates or request.root_hash, said
        assert root is None or root.root_hash is not None, said
    if root is None:
        return
    assert not root.data.empty, said
    if is_hidden(root.data):
        failed = [each for each in boot.attempts if each.failure is not None]
        tried_all = request.next_candidate is NextCandidate.POLICY and boot.attempts[-1].candidate is root
        assert request.slot or request.root_hash or (tried_all and len(failed) == len(boot.attempts) - 1), said


def answer(boot: LinuxBoot) -> tuple[object, ...]:
    """What is decided, without what only a machine needs."""
    place = None if boot.chosen is None else boot.chosen.data.path
    if boot.plan is None:
        return boot.verdict, place, str(boot.refusal)
    entry = boot.plan.entry
    return boot.verdict, place, entry.source.location.path, entry.source.path, entry.entry.id, without_machine(boot)


def without_machine(boot: LinuxBoot) -> str:
    assert boot.plan is not None
    return command_line_of(each for each in boot.plan.parameters if each.source is not ParameterSource.MACHINE)


def check_commands(disk: RandomDisk, path: Path, capsys: pytest.CaptureFixture[str], said: str) -> None:
    """Compare what the commands print, and their exit codes."""
    path.write_bytes(disk.content)
    pages, codes = {}, {}
    for command in (["inspect"], ["entries"], ["boot", "--dry-run"]):
        codes[command[0]] = main([*command, str(path), "--json", *disk.options])
        pages[command[0]] = json.loads(capsys.readouterr().out)
        SCHEMAS[command[0]].validate(pages[command[0]])
    boots = pages["boot"]["verdict"] != "refused"
    assert codes["boot"] == {"verified": 0, "unverified": 4, "refused": 3}[pages["boot"]["verdict"]], said
    assert codes["inspect"] == codes["entries"] == (0 if boots else 3), said
    assert pages["inspect"]["decision"] == pages["entries"]["decision"], said
    decision = pages["inspect"]["decision"]
    assert decision["verdict"] == pages["boot"]["verdict"], said
    assert decision["root"] == pages["boot"]["chosen"], said
    assert decision["refusal"] == pages["boot"]["refusal"], said
    if boots:
        assert decision["entry"]["id"] == pages["boot"]["runs"]["entry"], said
        ours = [each for each in pages["boot"]["runs"]["parameters"] if each["source"] != "machine"]
        assert decision["command_line"] == " ".join(each["parameter"] for each in ours), said
    else:
        for page in (["inspect"], ["entries"], ["boot", "--dry-run"]):
            assert main([*page, str(path), *disk.options]) == 3, said
            assert "does not boot: " in capsys.readouterr().out, said
    if not disk.options:
        assert main(["simulate", str(path), "--json"]) == codes["boot"], said
        assert json.loads(capsys.readouterr().out) == pages["boot"], said
