from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from bootpath.core.errors import BootError, DeviceError, FormatError, LimitError
from bootpath.core.limits import limits_raised
from bootpath.formats.cmdline.address import PartitionAddress, RootAddress, RootStyle
from bootpath.fs.readers.treefiles import Child, TreeFiles
from bootpath.image.contents.nodes import Location
from bootpath.image.entries.bootvolumes import BootVolume
from bootpath.image.entries.find import menu_of
from bootpath.image.entries.menu import EntrySource, Excluded, FoundEntry, VolumeRole
from bootpath.image.entries.read import read_volume
from tests.support.bootfiles import AA64, MemoryTree, memory_files, pe_image
from tests.support.errors import raises
from tests.unit.formats.entries.test_uki import OS_RELEASE, PROFILES

ENTRIES = "/loader/entries"
KERNEL = {"/k": b"kernel", "/i": b"initrd", "/j": b"more"}
SPOT = PartitionAddress("11111111-2222-3333-4444-555555555555", 2)


def place(content: Mapping[str, bytes | str], role: VolumeRole = VolumeRole.ESP, root: bool = True) -> BootVolume:
    source = EntrySource(role, Location("2"), format="memory")
    fold_case = role is not VolumeRole.ROOT
    return BootVolume(source, memory_files(content, fold_case=fold_case), RootAddress(SPOT) if root else None)


def read(
    content: Mapping[str, bytes | str], role: VolumeRole = VolumeRole.ESP
) -> tuple[dict[str, FoundEntry], dict[str, str]]:
    """Entries by id, and reasons by path."""
    found: dict[str, FoundEntry] = {}
    reasons: dict[str, str] = {}
    for each in read_volume(place(content, role)):
        if isinstance(each, Excluded):
            reasons[each.source.path] = str(each.why)
        else:
            assert each.entry.id not in found
            found[each.entry.id] = each
    return found, reasons


def conf(text: str, name: str = "a.conf") -> dict[str, bytes | str]:
    return {**KERNEL, f"{ENTRIES}/{name}": text.encode()}


def test_an_entry_with_its_files() -> None:
    found, reasons = read(conf("title A\nlinux /k\ninitrd /i\ninitrd J\noptions quiet\n"))
    assert not reasons
    entry = found["a"]
    assert (entry.read_kernel(), entry.read_initrds(), entry.command_line()) == (
        b"kernel",
        (b"initrd", b"more"),
        "quiet",
    )
    assert (entry.kernel_bytes, entry.initrd_bytes, entry.read_devicetree()) == (6, 10, None)
    assert entry.source == EntrySource(VolumeRole.ESP, Location("2"), (), "memory", f"{ENTRIES}/a.conf")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("linux /none\n", "the kernel /none is missing"),
        ("linux /loader\n", "the kernel /loader is a directory, not a file"),
        ("linux /k\ninitrd /none\n", "the initrd /none is missing"),
        ("linux /k\ndevicetree /none\n", "the file /none is missing"),
        ("linux /k\nextra /none.cred\n", "the file /none.cred is missing"),
        ("linux /../k\n", "path"),
        ("linux a\\k\n", "path"),
        ("title x\n", "none of them"),
        ("linux /empty\n", "is empty"),
        ("\ufefflinux /k\n", "none of them: linux stands behind a byte order mark"),
        ("uki /k\n", "pe: the headers end"),
        ("uki /none\n", "is missing"),
        ("uki-url http://x/y.efi\n", "network"),
        ("linux /link\n", "symbolic link"),
        ("title \0\n", "line 1"),
    ],
)
def test_entries_are_left_out_with_the_reason(text: str, reason: str) -> None:
    content: dict[str, bytes | str] = {"/empty": b"", "/link": "k", f"{ENTRIES}/good.conf": b"linux /k\n"}
    found, reasons = read({**content, **conf(text)})
    assert list(found) == ["good"]
    assert reason in reasons[f"{ENTRIES}/a.conf"]


def test_names() -> None:
    names = ["b c.conf", "x.txt", ".conf", "good+2-1.CONF", "ä.conf", "sub.conf/x"]
    found, reasons = read({**KERNEL, **{f"{ENTRIES}/{name}": b"linux /k\n" for name in names}})
    assert list(found) == ["good"]
    assert set(reasons) == {f"{ENTRIES}/{name}" for name in ("b c.conf", ".conf", "ä.conf")}


def test_a_link_is_no_entry() -> None:
    found, reasons = read({**KERNEL, f"{ENTRIES}/a.conf": "b.conf", f"{ENTRIES}/b.conf": b"linux /k\n"})
    assert list(found) == ["b"]
    assert reasons == {f"{ENTRIES}/a.conf": "it is a symlink, not a file"}


def test_the_marker() -> None:
    found, reasons = read({**conf("linux /k\n"), "/loader/entries.srel": b"type1\n"})
    assert (list(found), reasons) == (["a"], {})
    found, reasons = read({**conf("linux /k\n"), "/loader/entries.srel": b"grub\n"})
    assert not found
    assert "grub" in reasons["/loader/entries.srel"]


def test_thousands_of_entries() -> None:
    many = {f"{ENTRIES}/e{number}.conf": b"linux /k\n" for number in range(1200)}
    found, reasons = read({**KERNEL, **many})
    assert len(found) == 1000
    assert "at most 1000" in reasons[ENTRIES]


def test_only_a_root_has_links_and_entries_of_type_1_below_boot() -> None:
    content: dict[str, bytes | str] = {
        "/boot/k": b"kernel",
        "/vmlinuz": "boot/k",
        "/out": "/boot/k",
        f"/boot{ENTRIES}/a.conf": b"linux /vmlinuz\nlinux-appendroot yes\noptions quiet\n",
        f"/boot{ENTRIES}/b.conf": b"linux /out\n",
        "/boot/extlinux/extlinux.conf": b"label l\nkernel ../k\n",
        "/extlinux/extlinux.conf": b"label m\nkernel /vmlinuz\n",
    }
    found, reasons = read(content, VolumeRole.ROOT)
    assert list(found) == ["a", "b", "m", "l"]
    assert found["b"].read_kernel() == b"kernel"
    assert reasons == {}
    assert found["a"].command_line() == f"quiet root=PARTUUID={SPOT.partuuid}"
    assert found["a"].command_line(RootStyle("/dev/sda")) == "quiet root=/dev/sda2"
    assert found["a"].command_line(appendroot=False) == "quiet"
    assert found["l"].command_line(appendroot=True) == f"root=PARTUUID={SPOT.partuuid}"
    found, _ = read(content, VolumeRole.ESP)
    assert list(found) == ["l"]


def test_menus_of_the_syslinux_family_in_the_order_in_which_they_count() -> None:
    """Those of Infix, for U-Boot's sysboot: the file for all boards first, since nothing says which board this is."""
    infix = "label Infix\n\tkernel /boot/Image\n\tfdtdir /boot\n\tappend ${bootargs_root} quiet -- ${bootargs_user}\n"
    content: dict[str, bytes | str] = {
        "/boot/Image": b"kernel",
        "/boot/syslinux/acme,one-syslinux.conf": infix.replace("Infix", "one").encode(),
        "/boot/syslinux/acme,two-syslinux.conf": infix.replace("Infix", "two").encode(),
        "/boot/syslinux/syslinux.conf": infix.encode(),
        "/boot/syslinux/syslinux.cfg": b"label cfg\nkernel ../Image\n",
        "/boot/extlinux/extlinux.conf": b"label ext\nkernel ../Image\n",
        "/syslinux.cfg": b"label top\nkernel boot/Image\n",
        "/boot/syslinux/other.conf": b"label no\nkernel /boot/Image\n",
        "/boot/syslinux/x-syslinux.conf/y": b"",
    }
    found, reasons = read(content, VolumeRole.ROOT)
    assert list(found) == ["ext", "Infix", "one", "two", "cfg", "top"]
    assert {each.parts.kernel.path for each in found.values()} == {"/boot/Image"}
    assert found["Infix"].warnings == tuple(
        f"the options have {name}, which the kernel gets as it is: only GRUB or U-Boot would replace it"
        for name in ("${bootargs_root}", "${bootargs_user}")
    )
    assert not reasons
    menu = menu_of("disk", [place(content, VolumeRole.ROOT)], roles=(VolumeRole.ROOT,))
    assert [each.entry.id for each in menu.entries] == list(found)


def test_a_place_without_a_name() -> None:
    (entry,) = read_volume(place(conf("linux /k\nlinux-appendroot yes\n"), VolumeRole.ROOT, root=False))
    assert isinstance(entry, FoundEntry)
    with pytest.raises(BootError, match="no kernel parameter can name the root"):
        entry.command_line()


def test_labels() -> None:
    menu = b"default b\ninclude more.conf\nlabel a\nkernel /k\ninitrd /i,/j\nlabel a\nkernel /j\nlabel c\nlocalboot 1\n"
    more = b"label b\nkernel /none\n"
    path = "/extlinux/extlinux.conf"
    content = {**KERNEL, path: menu, "/extlinux/more.conf": more}
    got = list(read_volume(place(content)))
    reasons = [str(each.why) for each in got if isinstance(each, Excluded)]
    assert ["is missing" in reasons[0], "twice" in reasons[1], "next disk" in reasons[2]] == [True] * 3
    (entry,) = [each for each in got if isinstance(each, FoundEntry)]
    assert (entry.entry.id, entry.read_initrds()) == ("a", (b"initrd", b"more"))
    _, why = read({path: b"include none.conf\n"})
    assert "none.conf" in why[path]
    _, why = read({path: b"include ../../x\n"})
    assert "path" in why[path]


def test_a_uki() -> None:
    sections = [
        (".linux", b"kernel"),
        (".osrel", OS_RELEASE),
        (".cmdline", b"quiet"),
        (".initrd", b"i"),
        (".ucode", b"u"),
    ]
    found, reasons = read({"/EFI/Linux/a+3.efi": pe_image([*sections, (".dtb", b"tree")]), "/EFI/Linux/b.efi": b"MZ"})
    entry = found["a"]
    assert (entry.read_kernel(), entry.read_initrds(), entry.command_line()) == (b"kernel", (b"u", b"i"), "quiet")
    assert (entry.entry.title, entry.read_devicetree(), entry.entry.counter) == ("Foo 1", b"tree", entry.entry.counter)
    assert "headers end" in reasons["/EFI/Linux/b.efi"]


def test_addons_in_their_order() -> None:
    image = pe_image([(".linux", b"kernel"), (".cmdline", b"quiet"), (".initrd", b"i"), (".ucode", b"u")])
    one = pe_image([(".cmdline", b"one"), (".initrd", b"i1"), (".ucode", b"u1")])
    two = pe_image([(".cmdline", b"two"), (".initrd", b"i2"), (".ucode", b"u2"), (".dtb", b"d2")])
    content = {
        "/EFI/Linux/a+3-0.efi": image,
        "/EFI/Linux/a.efi.extra.d/2.addon.efi": two,
        "/EFI/Linux/a.efi.extra.d/1.addon.efi": one,
        "/EFI/Linux/a.efi.extra.d/3.addon.efi": pe_image([(".cmdline", b"arm")], machine=AA64),
        "/EFI/Linux/a.efi.extra.d/x.cred": b"secret",
        "/loader/addons/z.addon.efi": pe_image([(".cmdline", b"all")]),
    }
    found, reasons = read(content)
    assert not reasons
    entry = found["a"]
    assert entry.warnings == (
        "the add-on /EFI/Linux/a.efi.extra.d/3.addon.efi is left out: it is for another architecture",
    )
    assert entry.command_line() == "quiet all one two"
    assert entry.read_initrds() == (b"u2", b"u1", b"u", b"i", b"i1", b"i2")
    assert [piece.path for piece in entry.parts.devicetree_overlays] == ["/EFI/Linux/a.efi.extra.d/2.addon.efi"]
    assert entry.parts.addons[0] == "/loader/addons/z.addon.efi"


@pytest.mark.parametrize(
    ("addon", "why"),
    [
        (pe_image([(".linux", b"kernel"), (".cmdline", b"bad")]), "the add-on has a kernel"),
        (b"MZ---", "the headers end beyond the file"),
        (b"", "the headers end beyond the file"),
        (pe_image([(".cmdline", b"bad"), (".uname", b"6.2.0")]), "it is for 6.2.0, not for 6.1.0"),
        (pe_image([(".cmdline", b"bad"), (".uname", b"6.1.0-1")]), "it is for 6.1.0-1, not for 6.1.0"),
        ("../nowhere", "is a symbolic link, which is not allowed on a boot partition"),
    ],
)
@pytest.mark.parametrize("place", ["/loader/addons/", "/EFI/Linux/a.efi.extra.d/"])
def test_an_addon_that_does_not_go_with_an_image_is_left_out_of_it(addon: bytes | str, why: str, place: str) -> None:
    """And the image boots: systemd-stub(7), "rejected if they do not exactly match"; systemd pull request 27358."""
    content = {
        "/EFI/Linux/a.efi": pe_image([(".linux", b"kernel"), (".cmdline", b"quiet"), (".uname", b"6.1.0")]),
        f"{place}1.addon.efi": addon,
        f"{place}2.addon.efi": pe_image([(".cmdline", b"good"), (".uname", b"6.1.0")]),
        f"{place}3.addon.efi": pe_image([(".cmdline", b"any")]),
    }
    found, reasons = read(content)
    assert not reasons
    (warning,) = found["a"].warnings
    assert warning.startswith(f"the add-on {place}1.addon.efi is left out: ")
    assert why in warning
    assert found["a"].command_line() == "quiet good any"
    assert [path.rpartition("/")[2] for path in found["a"].parts.addons] == ["2.addon.efi", "3.addon.efi"]


def test_the_addons_of_an_image_are_those_of_its_name_without_counters() -> None:
    """systemd-stub(7): "foo+3-0.efi will look in directory foo.efi.extra.d"."""
    content = {
        "/EFI/Linux/a+3-1.efi": pe_image([(".linux", b"kernel"), (".cmdline", b"quiet")]),
        "/EFI/Linux/a.efi.extra.d/1.addon.efi": pe_image([(".cmdline", b"one")]),
        "/EFI/Linux/a+3-1.efi.extra.d/2.addon.efi": pe_image([(".cmdline", b"two")]),
    }
    found, reasons = read(content)
    assert not reasons
    assert found["a"].command_line() == "quiet one"
    assert found["a"].warnings == ("a+3-1.efi.extra.d is passed over: systemd-stub looks in a.efi.extra.d",)


class _DamagedDirectory(MemoryTree):
    """One directory, or file, cannot be read."""

    damaged = ""

    def children(self, ref: str) -> Iterable[Child[str]]:
        if ref == self.damaged:
            raise FormatError("the directory is damaged", where="memory")
        return super().children(ref)

    def read(self, ref: str, offset: int, length: int) -> bytes:
        if ref == self.damaged:
            raise DeviceError("the disk fails", where="memory")
        return super().read(ref, offset, length)


@pytest.mark.parametrize(
    ("damaged", "left", "said"),
    [
        ("/loader/entries", ["u", "m"], "the directory is damaged"),
        ("/loader/entries/a.conf", ["u", "m"], "the disk fails"),
        ("/loader/entries.srel", ["a", "u", "m"], "the disk fails"),
        ("/EFI/Linux", ["a", "m"], "the directory is damaged"),
        ("/EFI/Linux/u.efi", ["a", "m"], "the disk fails"),
        ("/EFI/Linux/u.efi.extra.d", ["a", "u", "m"], "the add-ons in /EFI/Linux/u.efi.extra.d are left out"),
        ("/EFI/Linux/u.efi.extra.d/1.addon.efi", ["a", "u", "m"], "1.addon.efi is left out"),
        ("/extlinux/extlinux.conf", ["a", "u"], "the disk fails"),
    ],
)
def test_one_that_cannot_be_read_condemns_no_other(damaged: str, left: list[str], said: str) -> None:
    tree = _DamagedDirectory(
        {
            "/k": b"kernel",
            "/loader/entries.srel": b"type1\n",
            f"{ENTRIES}/a.conf": b"linux /k\n",
            "/EFI/Linux/u.efi": pe_image([(".linux", b"kernel")]),
            "/EFI/Linux/u.efi.extra.d/1.addon.efi": pe_image([(".cmdline", b"x")]),
            "/extlinux/extlinux.conf": b"label m\nkernel /k\n",
        }
    )
    tree.damaged = damaged
    source = EntrySource(VolumeRole.ESP, Location("2"), format="memory")
    found = list(read_volume(BootVolume(source, TreeFiles(tree), None)))
    assert [each.entry.id for each in found if isinstance(each, FoundEntry)] == left
    texts = [str(each.why) if isinstance(each, Excluded) else "".join(each.warnings) for each in found]
    assert any(said in text for text in texts)


def test_keys_that_do_not_do_what_they_seem_to() -> None:
    found, _ = read(conf("\ufefftitle A\nlinux /k\nprofile 1\nprofile x\n"))
    assert found["a"].warnings == (
        "the file begins with a byte order mark, so its first key, title, is not known",
        "profile is passed over: it is for an entry with uki",
        "the profile 'x' is passed over: it is no number",
    )


def test_a_kernel_that_does_not_say_its_name_takes_any_addon() -> None:
    content = {
        "/EFI/Linux/a.efi": pe_image([(".linux", b"kernel")]),
        "/loader/addons/1.addon.efi": pe_image([(".cmdline", b"one"), (".uname", b"6.2.0")]),
    }
    found, _ = read(content)
    assert (found["a"].command_line(), found["a"].warnings) == ("one", ())


def test_labels_of_an_extlinux_conf_each_for_itself() -> None:
    menu = (
        "label slash\n kernel /k\n fdtdir /\nlabel dots\n kernel /k\n fdtdir ../dtbs/..\n"
        "label overlay\n kernel /k\n fdtoverlays /gone.dtbo /here.dtbo\n append root=${rootdev} $x a$ ${x\n"
        "label out\n kernel /../k\nlabel gone\n kernel /nothing\n"
    )
    content: dict[str, bytes | str] = {"/extlinux/extlinux.conf": menu.encode(), "/k": b"kernel", "/here.dtbo": b"d"}
    each = list(read_volume(place(content)))
    found = {one.entry.id: one for one in each if isinstance(one, FoundEntry)}
    assert set(found) == {"slash", "dots", "overlay"}
    assert found["slash"].entry.devicetree_directory == "/"
    assert found["dots"].entry.devicetree_directory == "/"
    assert [piece.path for piece in found["overlay"].parts.devicetree_overlays] == ["/here.dtbo"]
    assert found["overlay"].warnings == (
        "the options have ${rootdev}, which the kernel gets as it is: only GRUB or U-Boot would replace it",
        "the options have $x, which the kernel gets as it is: only GRUB or U-Boot would replace it",
        "the device tree overlay /gone.dtbo is missing, and is left out",
    )
    out, gone = (one for one in each if isinstance(one, Excluded))
    assert str(out.why).startswith("label out: ")
    assert gone.entry is not None
    assert gone.entry.id == "gone"


def test_variables_that_a_loader_would_replace() -> None:
    found, _ = read(conf("linux /k\noptions $kernelopts a=$ quiet\n"))
    assert found["a"].command_line() == "$kernelopts a=$ quiet"
    assert "$kernelopts" in found["a"].warnings[0]


def test_profiles_of_a_uki_and_of_an_entry_that_names_one() -> None:
    image = pe_image(PROFILES)
    content = {
        "/EFI/Linux/a.efi": image,
        "/os/b.efi": image,
        f"{ENTRIES}/one.conf": b"uki /os/b.efi\nprofile 1\n",
        f"{ENTRIES}/own.conf": b"uki /os/b.efi\noptions own\n",
        f"{ENTRIES}/nine.conf": b"uki /os/b.efi\nprofile 9\n",
    }
    found, reasons = read(content)
    assert set(found) == {"a", "a@1", "a@2", "one", "own"}
    assert found["a@1"].command_line() == found["one"].command_line() == "quiet systemd.unit=factory-reset.target"
    assert found["own"].command_line() == "own"
    assert found["one"].read_kernel() == b"kernel"
    assert "@9" in reasons[f"{ENTRIES}/nine.conf"]


def test_an_efi_program_is_no_kernel() -> None:
    found, _ = read(conf("efi /k\n"))
    with pytest.raises(BootError):
        found["a"].read_kernel()


def test_limits_of_what_is_read() -> None:
    found, _ = read(conf("linux /k\ninitrd /i\n"))
    with limits_raised(kernel_bytes=5), raises(LimitError, what="the kernel is too large", where="/k"):
        found["a"].read_kernel()
    with limits_raised(initrd_bytes=5), raises(LimitError, what="the initrds are too large together", where="a"):
        found["a"].read_initrds()
