from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.boot.protocol.settings import Settings, environment_block, parse_settings
from bootpath.core.errors import BootError

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
def test_words_say_the_settings(settings: Settings) -> None:
    assert parse_settings(" ".join(["console=ttyS0 quiet", *settings.words()])) == settings


def test_what_is_so_anyway_takes_no_words() -> None:
    assert Settings().words() == []


@pytest.mark.parametrize(
    "word",
    ["bootpath.shell", "bootpath.shell=yes", "bootpath.deadline=soon", "bootpath.other=1", "bootpath.overlay=1.5"],
)
def test_words_nobody_can_read(word: str) -> None:
    with pytest.raises(BootError, match="kernel command line") as caught:
        parse_settings(f"quiet {word}")
    assert caught.value.found == word


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
