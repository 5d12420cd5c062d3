from __future__ import annotations

from collections.abc import Mapping

import pytest

from bootpath.core.errors import FormatError
from bootpath.fs.readers.files import FileNode
from bootpath.fs.readers.treefiles import TreeFiles
from bootpath.image.contents.useas import Use, UseAs, use_of
from tests.support.bootfiles import MemoryTree, memory_files

OS = {"/usr/lib/os-release": b"ID=os\nPRETTY_NAME=OS 1\n"}
SYSTEMD = "/usr/lib/systemd/systemd"
SYSEXT, CONFEXT = "/usr/lib/extension-release.d/extension-release.x", "/etc/extension-release.d/extension-release.x"


def use(content: Mapping[str, bytes | str], *programs: str) -> UseAs:
    return use_of(memory_files({**content, **dict.fromkeys(programs, b"\x7fELF")}, programs=programs))


@pytest.mark.parametrize("init", [SYSTEMD, "/sbin/init", "/bin/init", "/etc/init", "/init"])
def test_a_system_has_an_init(init: str) -> None:
    found = use(OS, init)
    assert (found.uses, found.init, found.is_root, found.name) == ((Use.SYSTEM,), init, True, "OS 1")
    assert str(found) == "bootable system"
    assert use({}, init).is_root  # small systems have no os-release


def test_what_has_none_is_no_root() -> None:
    assert not use({**OS, "/sbin/init": b"not executable"}).is_root
    assert not use({**OS, "/sbin/init/x": b""}).is_root
    assert not use({"/usr/share/data": b""}, "/bin/sh").is_root
    assert str(use({"/data": b""})) == "no system: there is no init"
    assert use({"/data": b""}) == UseAs()


def test_links_are_followed_inside_the_file_system() -> None:
    assert use({"/sbin": "usr/sbin", "/usr/sbin/init": "../lib/systemd/systemd"}, SYSTEMD).is_root
    assert use({"/sbin/init": "/opt/first"}, "/opt/first").init == "/sbin/init"
    assert not use({"/sbin/init": "/opt/first", "/init": "init"}).is_root
    assert not use({"/sbin/init": "/opt/first"}).faults


def test_a_busybox_is_an_init_where_it_has_something_to_do() -> None:
    assert not use(OS, "/bin/busybox", "/bin/sh").is_root
    assert use({**OS, "/etc/inittab": b""}, "/bin/busybox").init == "/bin/busybox"
    assert use({"/etc/init.d/rcS": b""}, "/usr/bin/busybox").is_root


def test_an_extension_is_no_root() -> None:
    found = use({SYSEXT: b"ID=os\n"}, SYSTEMD)
    assert (found.uses, found.is_root, found.sysext_scopes) == ((Use.SYSEXT,), False, ("system", "portable"))
    found = use({CONFEXT: b"CONFEXT_SCOPE=initrd\n", SYSEXT: b"SYSEXT_SCOPE='system initrd'\n"})
    assert (found.sysext_scopes, found.confext_scopes) == (("system", "initrd"), ("initrd",))
    assert found.uses == (Use.SYSEXT, Use.CONFEXT)
    assert use({"/etc/extension-release.d/README": b""}).uses == ()


def test_what_it_is_ends_a_sentence() -> None:
    assert use({CONFEXT: b"", SYSEXT: b""}).described == "a system extension, a configuration extension"
    assert use({"/etc/initrd-release": b""}).described == "an initrd"
    assert use({"/lib/os-release": b""}, "/lib/systemd/systemd").described == "the /usr of a system"
    assert use({"/data": b""}).described == "no system: there is no init"


def test_portable_services_and_initrds() -> None:
    assert use({"/etc/os-release": b"PORTABLE_PREFIXES=a\n"}).uses == (Use.PORTABLE,)
    found = use({"/etc/initrd-release": b"ID=os\n"}, "/init")
    assert (found.uses, found.init) == ((Use.SYSTEM, Use.INITRD), "/init")


def test_a_usr_is_no_root() -> None:
    found = use({"/lib/os-release": b"ID=os\n"}, "/lib/systemd/systemd")
    assert (found.uses, found.init) == ((Use.USR,), "")
    assert use({"/usr/x": b""}, "/lib/systemd/systemd").is_root


class _Damaged(MemoryTree):
    def node(self, ref: str) -> FileNode:
        if ref == "/sbin/init":
            raise FormatError("the inode is damaged", where="memory")
        return super().node(ref)


def test_what_cannot_be_read_decides_nothing() -> None:
    found = use_of(TreeFiles(_Damaged({"/sbin/init": b"", **OS})))
    assert (found.is_root, found.unknown, str(found)) == (False, True, "unknown, since it cannot be read")
    assert [str(fault) for fault in found.faults] == ["memory: the inode is damaged"]
    found = use_of(TreeFiles(_Damaged({"/sbin/init": b"", "/init": b""}, programs=["/init"])))
    assert (found.is_root, found.unknown, len(found.faults)) == (True, False, 1)
    bad = use({"/etc/os-release": b"\xff"}, "/init")
    assert (bad.is_root, bad.os_release, len(bad.faults)) == (True, {}, 1)
