from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.core.errors import FormatError
from bootpath.formats.cmdline.networkroot import NfsRoot, NinePRoot
from bootpath.formats.cmdline.parameters import Parameter, join_parameters, split_parameters

words = st.text(st.characters(codec="ascii"), max_size=12)


def test_a_directory_of_an_nfs_server() -> None:
    """As barebox writes it: Documentation/filesystems/nfs.rst there."""
    root = NfsRoot("192.168.23.4", "/home/sha/nfsroot/generic-v7", ("v3", "tcp"))
    assert join_parameters(root.parameters()) == (
        "root=/dev/nfs nfsroot=192.168.23.4:/home/sha/nfsroot/generic-v7,v3,tcp"
    )
    assert join_parameters(NfsRoot("10.0.0.1", "/a b", ip="dhcp").parameters()) == (
        'root=/dev/nfs nfsroot="10.0.0.1:/a b" ip=dhcp'
    )


def test_a_directory_that_a_host_exports_by_9p() -> None:
    root = NinePRoot("rootfs", options=("msize=65536", "cache=loose"))
    assert join_parameters(root.parameters()) == (
        "root=rootfs rootfstype=9p rootflags=trans=virtio,msize=65536,cache=loose,aname=/"
    )


@given(words, words, st.lists(words, max_size=3).map(tuple), words)
def test_whatever_is_accepted_is_read_back_as_it_was(
    name: str, directory: str, options: tuple[str, ...], more: str
) -> None:
    makes: list[Callable[[], tuple[Parameter, ...]]] = [
        lambda: NfsRoot("10.0.0.1", directory, options, more).parameters(),
        lambda: NinePRoot(name, directory, more, options).parameters(),
    ]
    for make in makes:
        try:
            packed = make()
        except FormatError:
            continue
        assert split_parameters(join_parameters(packed)) == packed
        values = {each.name: each.value or "" for each in packed}
        place = values.get("nfsroot", values.get("rootflags", ""))
        assert place.count(",") == len(options) + ("rootflags" in values)
        assert directory in place


@pytest.mark.parametrize(
    ("server", "directory", "options", "ip"),
    [
        ("server.example", "/a", (), ""),
        ("10.0.0.1", "a", (), ""),
        ("10.0.0.1", "/a,b", (), ""),
        ("10.0.0.1", '/a"', (), ""),
        ("10.0.0.1", "/a", ("v3,tcp",), ""),
        ("10.0.0.1", "/a", ("",), ""),
        ("10.0.0.1", "/a", (), "dhcp root=/dev/sda"),
    ],
)
def test_what_nfsroot_cannot_say(server: str, directory: str, options: tuple[str, ...], ip: str) -> None:
    with pytest.raises(FormatError):
        NfsRoot(server, directory, options, ip)


@pytest.mark.parametrize("tag", ["", "/dev/sda", "a b", 'a"', "a,b"])
def test_what_is_no_tag(tag: str) -> None:
    with pytest.raises(FormatError):
        NinePRoot(tag)
