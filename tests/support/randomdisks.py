"""Disks of every shape that a Linux may boot from, put together at random from parts that other tools made.

A `PartsBox` is filled once, by mksquashfs, mke2fs, mkfs.fat, veritysetup, openssl, sbsign, xorriso, ubinize and images
of LVM2 and cryptsetup. `RandomDisk.draw` takes some of the parts, in one or two slots, with boot partitions or without,
damages a byte or not, and asks something or other of whoever decides what boots.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from uuid import UUID
from zlib import crc32

from bootpath.boot.linux.choice import LinuxRequest, NextCandidate
from bootpath.formats.cmdline.address import Assembly
from bootpath.formats.partitions.dps import Architecture, Designator
from bootpath.formats.partitions.gptheader import Partition
from bootpath.formats.partitions.gptwrite import new_gpt, pack_gpt
from bootpath.formats.partitions.imagepolicy import parse_image_policy
from bootpath.formats.systemdboot.loadervariables import LoaderVariables
from bootpath.image.entries.menu import VolumeRole
from bootpath.image.roots.choice import IdenticalSlots
from tests.support.bootdisk import ext4, fat
from tests.support.bootfiles import pe_image
from tests.support.ddi import (
    DATA_BYTES,
    DISK_GUID,
    GOLDEN,
    MIB,
    Part,
    Signer,
    Volume,
    make_lvm_disk,
    make_ubi_image,
    protect,
)
from tests.support.hybriddisc import make_medium
from tests.support.linuximage import RootTree, squash
from tests.support.mbrdisk import table
from tests.support.pefiles import sbsign, signable_pe
from tests.support.volumeimages import make_volume_images

LUKS = GOLDEN / "superblocks/luks2.img.gz"
KERNEL = bytes(0x202) + b"HdrS" + bytes(506)
INITRD = b"070701" + bytes(506)
TYPE_1 = "title {name}\nversion {version}\nlinux /boot/k\ninitrd /boot/i\n{more}"
UKI = pe_image([(".linux", KERNEL), (".initrd", INITRD), (".osrel", b"ID=os\nVERSION_ID=3\n"), (".cmdline", b"quiet")])
FILES = {"/boot/k": KERNEL, "/boot/i": INITRD}
NO_INITRD = "title alone\nlinux /boot/k\nlinux-appendroot yes\n"
ROOTS: dict[str, dict[str, bytes]] = {
    "appends": {"/loader/entries/a.conf": TYPE_1.format(name="A", version=1, more="linux-appendroot yes\n").encode()},
    "names": {"/loader/entries/a.conf": TYPE_1.format(name="A", version=1, more="options root=LABEL=x\n").encode()},
    "counted": {
        "/loader/entries/a+2-1.conf": TYPE_1.format(name="A", version=1, more="").encode(),
        "/loader/entries/b+0-3.conf": TYPE_1.format(name="B", version=2, more="").encode(),
    },
    "bad": {"/loader/entries/a+0-3.conf": TYPE_1.format(name="A", version=1, more="").encode()},
    "extlinux": {"/boot/extlinux/extlinux.conf": b"label l\nkernel /boot/k\ninitrd /boot/i\nappend quiet\n"},
    "missing": {"/loader/entries/a.conf": b"title A\nlinux /boot/gone\n"},
    "no kernel": {"/loader/entries/a.conf": b"title A\nlinux /boot/i\n"},
    "alone": {"/loader/entries/a.conf": NO_INITRD.encode()},
    "behind --": {"/loader/entries/a.conf": TYPE_1.format(name="A", version=1, more="options quiet -- s\n").encode()},
    "none": {},
}
ESPS: dict[str, dict[str, bytes]] = {
    "uki": {"EFI/Linux/os_3+1-0.efi": UKI},
    "type 1": {
        "boot/k": KERNEL,
        "boot/i": INITRD,
        "loader/entries/e.conf": TYPE_1.format(name="E", version=4, more="linux-appendroot yes\n").encode(),
        "loader/entries/f.conf": TYPE_1.format(name="F", version=3, more="options root=/dev/sda9\n").encode(),
    },
    "efi": {"EFI/x.efi": UKI, "loader/entries/x.conf": b"title X\nefi /EFI/x.efi\n"},
    "default": {
        "boot/k": KERNEL,
        "boot/i": INITRD,
        "loader/loader.conf": b"default f.conf\n",
        "loader/entries/e+0-1.conf": TYPE_1.format(name="E", version=4, more="linux-appendroot yes\n").encode(),
        "loader/entries/f.conf": TYPE_1.format(name="F", version=3, more="").encode(),
    },
    "none": {"empty": b""},
}
SIGNED_ESPS = {"signed": b"quiet", "hash": b"quiet roothash={hash}", "hash behind --": b"quiet -- roothash={hash}"}
"""Command lines of a signed UKI; the hash is that of the root "appends"."""
DESIGNATORS = {
    "generic": Designator.LINUX_GENERIC,
    "xbootldr root": Designator.XBOOTLDR,
    "usr": Designator.USR,
}
KINDS = ("signed", "signed", "signed", "plain", "plain", "generic", "xbootldr root", "luks", "usr")
DEFAULTS = ("f.conf", "os.efi", "@saved", "?")
APPENDED = ("root=/dev/sdb1", "debug -- x", "init=/bin/sh", "roothash=00")
POLICIES = (
    None,
    None,
    None,
    "root=verity+signed+absent",
    "root=signed",
    "root=unprotected:esp=unused:=open",
    "esp=absent",
)


@dataclass(frozen=True)
class PartsBox:
    """What disks are made of, by name; `roots` are file systems of 1 MiB at most."""

    signer: Signer
    stranger: Signer
    roots: dict[str, bytes]
    protected: dict[str, Volume]
    esps: dict[str, bytes]
    xbootldrs: dict[str, bytes]
    whole: dict[str, bytes]
    locked: bytes

    @classmethod
    def fill(cls, directory: Path) -> PartsBox:
        """Make all parts."""
        signer, stranger = Signer.make(directory, "signer"), Signer.make(directory, "stranger")
        roots, protected = {}, {}
        for number, (name, files) in enumerate(ROOTS.items()):
            place = directory / f"root{number}"
            place.mkdir()
            tree = RootTree({**FILES, "/etc/os-release": name.encode(), **files}).write(place / "tree")
            roots[name] = squash(tree, place / "root.squashfs")
            protected[name] = protect(place, roots[name], (signer, stranger, None)[number % 3])
        esps, xbootldrs, whole = {}, {}, {}
        for number, (name, content) in enumerate(ESPS.items()):
            place = directory / f"esp{number}"
            place.mkdir()
            esps[name] = fat(place, content, MIB)
            xbootldrs[name] = (fat(place, content, MIB), ext4(place, content, MIB))[number % 2]
        for number, (name, line) in enumerate(SIGNED_ESPS.items()):
            place = directory / f"signed{number}"
            place.mkdir()
            options = line.replace(b"{hash}", protected["appends"].root_hash.hex().encode())
            sections = [(".linux", KERNEL), (".initrd", INITRD), (".osrel", b"ID=os\n"), (".cmdline", options)]
            uki = sbsign(place, signable_pe(sections), (signer, stranger)[number % 2])
            esps[name] = fat(place, {"EFI/Linux/os.efi": uki}, MIB)
        for name in ("appends", "names", "missing"):
            whole[f"lvm {name}"] = make_lvm_disk(
                directory / f"{name}.lvm", roots[name].ljust(DATA_BYTES, b"\0")
            ).path.read_bytes()
            volumes = {"data": bytes(1024), "root": roots[name]}
            whole[f"ubi {name}"] = make_ubi_image(directory / f"{name}.ubi", volumes, static=["root"]).read_bytes()
            whole[f"bare {name}"] = roots[name]
        twins = {f"vol{number}": protected["appends"] for number in range(2)}
        whole["images in volumes"] = make_volume_images(directory / "twins.img", twins).read_bytes()
        empty = make_volume_images(directory / "one.img", {"vol0": protected["names"]})
        whole["image in a volume"] = empty.read_bytes()
        files = {"k": KERNEL, "i": INITRD, "isolinux/isolinux.cfg": b"label l\nkernel /k\nappend initrd=/i quiet\n"}
        whole["medium"] = make_medium(directory / "plain.iso", files).read_bytes()
        locked = gzip.decompress(LUKS.read_bytes())[:MIB]
        return cls(signer, stranger, roots, protected, esps, xbootldrs, whole, locked)


@dataclass(frozen=True)
class RandomDisk:
    """A disk, what is asked of who decides, and `words`: what a person would have to type to make it again."""

    content: bytes
    request: LinuxRequest
    options: tuple[str, ...]
    words: tuple[str, ...] = field(default=())

    @classmethod
    def draw(cls, box: PartsBox, random: Random) -> RandomDisk:
        """One disk."""
        words: list[str] = []
        if random.random() < 0.15:
            name = random.choice(sorted(box.whole))
            words.append(name)
            content = bytearray(box.whole[name])
            hashes: list[bytes] = []
        else:
            parts, hashes = _draw_parts(box, random, words)
            content = _mbr_disk_of(parts, random) if random.random() < 0.1 else _disk_of(parts)
        if random.random() < 0.15:
            _damage(content, random, words)
        request, options = _draw_request(box, random, hashes)
        return cls(bytes(content), request, options, (*words, *options))


def _draw_parts(box: PartsBox, random: Random, words: list[str]) -> tuple[list[Part], list[bytes]]:
    """The partitions of a disk, and the root hashes that there are."""
    parts: list[Part] = []
    hashes: list[bytes] = []
    if random.random() < 0.5:
        name = random.choice(sorted(box.esps))
        words.append(f"esp {name}")
        parts.append(Part(Designator.ESP, box.esps[name], UUID(int=101), "esp", None))
    if random.random() < 0.3:
        name = random.choice(sorted(box.xbootldrs))
        words.append(f"xbootldr {name}")
        parts.append(Part(Designator.XBOOTLDR, box.xbootldrs[name], UUID(int=102), "boot", None))
    first = random.choice(sorted(box.roots))
    for slot in range(random.choice((0, 1, 1, 1, 2, 2))):
        name = first if random.random() < 0.5 else random.choice(sorted(box.roots))
        label = random.choice((f"os_{slot + 1}", "os_1", "_empty", "PRT#os_2") if slot else ("os_1", "os_1", "os_2"))
        architecture = Architecture.ARM64 if random.random() < 0.05 else Architecture.X86_64
        flags = (63,) if slot and random.random() < 0.4 else ()
        kind = random.choice(
            ("signed", "signed", "signed", "plain", "plain", "generic", "xbootldr root", "luks", "usr")
        )
        words.append(f"{kind} root {name} as {label}{' no-auto' if flags else ''} for {architecture.value}")
        if kind == "signed":
            hashes.append(box.protected[name].root_hash)
            parts += box.protected[name].parts(label, architecture=architecture, flags=flags, serial=200 + slot)
            continue
        designator = DESIGNATORS.get(kind, Designator.ROOT)
        guid = UUID(int=300 + (0 if random.random() < 0.3 else slot))
        content = box.locked if kind == "luks" else box.roots[name]
        parts.append(Part(designator, content, guid, label, architecture, flags))
    return parts, hashes


def _disk_of(parts: Sequence[Part]) -> bytearray:
    """The disk in memory, its table by the library's own writer: sgdisk would take longer than all the rest."""
    partitions, offset = [], MIB
    for number, part in enumerate(parts, start=1):
        size = -(-max(part.size_bytes, len(part.content), 4096) // 4096) * 4096
        flags = sum(1 << bit for bit in part.flags)
        first, last = offset // 512, (offset + size) // 512 - 1
        partitions.append(Partition(number, part.type_guid, UUID(int=number), first, last, flags, part.name))
        offset += size
    content = bytearray(offset + MIB)
    for place, data in pack_gpt(new_gpt(len(content), DISK_GUID, partitions)):
        content[place : place + len(data)] = data
    _name_partitions(content, [part.guid for part in parts])
    for part, partition in zip(parts, partitions, strict=True):
        content[partition.offset_bytes : partition.offset_bytes + len(part.content)] = part.content
    return content


def _mbr_disk_of(parts: Sequence[Part], random: Random) -> bytearray:
    """The same, up to four parts of it, as of a board: all that the table says is FAT, or Linux."""
    content, records = bytearray(MIB), []
    for part in parts[:4]:
        is_fat = part.content[54:57] == b"FAT"
        padded = part.content.ljust(-(-len(part.content) // 4096) * 4096, b"\0")
        records.append((0x80 * random.randrange(2), 0x0C if is_fat else 0x83, len(content) // 512, len(padded) // 512))
        content += padded
    content[:512] = table(*records)
    return content + bytes(MIB)


def _name_partitions(content: bytearray, guids: Sequence[UUID]) -> None:
    """Give the partitions GUIDs that may be the same, which no writer of tables does, in both copies."""
    for number, guid in enumerate(guids):
        place = 1024 + number * 128 + 16
        content[place : place + 16] = guid.bytes_le
    array = content[1024 : 1024 + 128 * 128]
    last = len(content) - 512
    content[last - len(array) : last] = array
    for header in (512, last):
        content[header + 88 : header + 92] = crc32(array).to_bytes(4, "little")
        content[header + 16 : header + 20] = bytes(4)
        content[header + 16 : header + 20] = crc32(content[header : header + 92]).to_bytes(4, "little")


def _damage(content: bytearray, random: Random, words: list[str]) -> None:
    """A byte of a table, or of the beginning of something: not of files, which not everybody reads."""
    starts = [MIB + 4096 * random.randrange(max(1, (len(content) - 2 * MIB) // 4096))]
    ranges = [(512, 92), (1024, 1024), (len(content) - 512, 92), (starts[0], 96), (MIB, 2048)]
    start, length = random.choice(ranges)
    place = min(start + random.randrange(length), len(content) - 1)
    if start == starts[0] and bytes(content[start : start + 4]) not in (b"hsqs", b"veri"):
        return
    words.append(f"flip {place}")
    content[place] ^= 1 << random.randrange(8)


def _draw_request(box: PartsBox, random: Random, hashes: Sequence[bytes]) -> tuple[LinuxRequest, tuple[str, ...]]:
    """What is asked, as a value and as options of the command line."""
    request, options = LinuxRequest(), list[str]()

    def add(flag: str, value: str | None, **fields: object) -> None:
        nonlocal request
        request = replace(request, **fields)  # type: ignore[arg-type]
        options.extend([flag] if value is None else [flag, value])

    if random.random() < 0.2:
        signer = random.choice((box.signer, box.stranger))
        add("--certificate", str(signer.certificate), certificates=(signer.certificate.read_bytes(),))
    policy = random.choice(POLICIES)
    if policy is not None:
        add("--policy", policy, policy=parse_image_policy(policy))
    if hashes and random.random() < 0.1:
        root_hash = random.choice(hashes)
        add("--root-hash", root_hash.hex(), root_hash=root_hash)
    if random.random() < 0.1:
        slot = random.choice(("1", "2", "4", "5", f"{DISK_GUID}:1", "vg0/root", "ubi/root", "nothing"))
        add("--slot", slot, slot=slot)
    if random.random() < 0.3:
        add("--identical-slots", "first", identical=IdenticalSlots.FIRST)
    if random.random() < 0.3:
        add("--next-candidate", "policy", next_candidate=NextCandidate.POLICY)
    if random.random() < 0.05:
        entry = random.choice(("a", "e", "l", "nothing"))
        add("--entry", entry, entry=entry)
    if random.random() < 0.08:
        place = random.choice(list(VolumeRole))
        add("--look-in", place.value, places=frozenset({place}))
    if random.random() < 0.1:
        add("--no-efi", None, efi=False)
    if random.random() < 0.08:
        architecture = random.choice((Architecture.X86_64, Architecture.ARM64))
        add("--architecture", architecture.value, architecture=architecture)
    if random.random() < 0.1:
        request = replace(request, variables=LoaderVariables(default=random.choice(DEFAULTS)))
    if random.random() < 0.1:
        request = replace(request, assembly=random.choice(list(Assembly)), fixed=random.random() < 0.5)
    if random.random() < 0.05:
        request = replace(request, append=random.choice(APPENDED))
    return request, tuple(options)
