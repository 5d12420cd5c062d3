from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.boot.protocol.settings import Settings, environment_block, parse_settings
from bootpath.core.errors import BootError
from bootpath.formats.cmdline.parameters import join_parameters

MEMORY = {0x1000: b"0+1000,200000+3000"}


def no_memory(address: int, length: int, what: str) -> bytes:
    raise AssertionError("memory is not needed")


def read_memory(address: int, length: int, what: str) -> bytes:
    assert what == "DISK_LIVE_MAP_ADDR"
    return MEMORY[address][:length]


@given(
    st.builds(
        Settings,
        shell=st.booleans(),
        classic=st.booleans(),
        deadline=st.floats(0, 1e6),
        overlay=st.none() | st.integers(0, 2**40),
        init=st.sampled_from(["/sbin/init", "/bin/sh"]),
    )
)
def test_parameters_of_settings_are_read_back(settings: Settings) -> None:
    assert parse_settings(f"console=ttyS0 quiet {join_parameters(settings.parameters())}") == settings


def test_a_default_needs_no_parameter() -> None:
    assert Settings().parameters() == ()


def test_what_is_for_init_is_not_read() -> None:
    assert parse_settings("bootpath.shell=1 -- bootpath.classic=1") == Settings(shell=True)


@pytest.mark.parametrize(
    "text",
    ["bootpath.shell", "bootpath.shell=yes", "bootpath.deadline=soon", "bootpath.other=1", "bootpath.overlay=1.5"],
)
def test_parameters_that_cannot_be_read(text: str) -> None:
    with pytest.raises(BootError, match="kernel command line") as caught:
        parse_settings(f"quiet {text}")
    assert caught.value.found == text


def test_the_environment_is_the_handoff() -> None:
    environment = {"HOME": "/", "DISK_LIVE_ADDR": "100", "TERM": "linux", "REDOXFS_UUID": "u", "PARTITION_GUID": "g"}
    block = environment_block(environment, no_memory)
    assert block == b"DISK_LIVE_ADDR=100\nREDOXFS_UUID=u\nPARTITION_GUID=g\n"


def test_a_long_map_comes_from_memory() -> None:
    environment = {"DISK_LIVE_MAP_ADDR": "1000", "DISK_LIVE_MAP_SIZE": "12", "DISK_LIVE_PARTIAL": "1"}
    block = environment_block(environment, read_memory)
    assert block == b"DISK_LIVE_PARTIAL=1\nDISK_LIVE_EXTENTS=0+1000,200000+3000\n"


@pytest.mark.parametrize(("address", "size"), [("x", "10"), ("1000", "-"), ("1000", "fffffff")])
def test_a_map_that_cannot_be(address: str, size: str) -> None:
    with pytest.raises(BootError, match="DISK_LIVE_MAP"):
        environment_block({"DISK_LIVE_MAP_ADDR": address, "DISK_LIVE_MAP_SIZE": size}, no_memory)
