"""The kernel's command line, word by word, and who put each there.

::

    the entry's options … | the root, by the loader | the slot, by the loader | the machine's | the caller's [-- init's]

- The root is named by the loader when the entry asks for it (``linux-appendroot``) or names none itself; how, says
  `formats.cmdline.appendroot`. With no initramfs the kernel has to put it together.
- The slot is handed over whenever the root is a partition (``bootpath.slot=``), so that what runs can tell the place it
  was started from without guessing: copies of an image are equal in everything else.
- A disk that is raw flash needs words of its own, by which Linux makes an MTD of it.
- What stands behind ``--`` is for init (Linux, kernel-parameters.txt), so words of ours go before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from bootpath.core.errors import BootError, FormatError
from bootpath.formats.cmdline.appendroot import (
    Assembly,
    DiskSpot,
    PartitionSpot,
    RootPlace,
    RootSpot,
    RootStyle,
    UbiSpot,
    device_word,
    partition_device,
    root_words,
)
from bootpath.formats.cmdline.parameters import join_words, split_raw
from bootpath.formats.cmdline.root import RootWords, parse_root_words
from bootpath.formats.ubi.attach import Ubi

MTD = "0"
"""The MTD that Linux makes of a flash which is a disk: the first there is."""
_ROOT_WORDS = ("root=", "roothash=", "bootpath.lv=", "bootpath.ubi=", "systemd.verity_root_data=", "dm-mod.create=")
_SLOT, _HASH_SLOT = "bootpath.slot=", "bootpath.hash_slot="


class WordSource(Enum):
    """Who put a word on the command line."""

    ENTRY = "entry"
    LOADER = "loader"
    MACHINE = "machine"
    CALLER = "caller"


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it stands there, with its quotes; `reason` says why it does."""

    text: str
    source: WordSource
    reason: str = ""

    @property
    def name(self) -> str:
        """What stands before the equals sign, with it."""
        name, equals, _ = self.text.partition("=")
        return name + equals


@dataclass(frozen=True, slots=True)
class Flash:
    """Raw flash that is a disk, or a partition of one: its number, None for the whole disk, and its geometry."""

    ubi: Ubi
    number: int | None = None

    def words(self, disk_name: str) -> tuple[str, ...]:
        """The words by which Linux makes an MTD of it and UBI attaches that (block2mtd.c, ubi/build.c)."""
        disk = disk_name if self.number is None else partition_device(disk_name, self.number)
        return (
            f"block2mtd.block2mtd={disk},{self.ubi.peb_bytes}",
            f"ubi.mtd={MTD},{self.ubi.vid_offset}",
        )


@dataclass(frozen=True, slots=True)
class RootNaming:
    """How the loader names the root: where it is, and by which names. `flash` is there when it is on UBI.

    `signature` is where that of the root hash lies, when the kernel is to check it.
    """

    place: RootPlace | None
    disk_name: str
    fixed: bool = False
    assembly: Assembly = Assembly.BOOTPATH
    flash: Flash | None = None
    signature: RootSpot | None = None

    def words(self) -> tuple[str, ...]:
        """The words for the root, without the slot's. Raises BootError when nothing names it."""
        if self.place is None:
            raise BootError("nothing names the root to a kernel", where="command line")
        flash = () if self.flash is None else self.flash.words(self.disk_name)
        words = root_words(self.place, RootStyle(self._called(self.place.data), self.assembly))
        return (*flash, *(word for word in words if not word.startswith((_SLOT, _HASH_SLOT))))

    def _called(self, spot: RootSpot) -> str | None:
        if isinstance(spot, UbiSpot):
            return MTD
        # A disk without a table has no other name.
        return self.disk_name if self.fixed or isinstance(spot, DiskSpot) else None

    def signature_words(self) -> tuple[str, ...]:
        """The word that hands the signature over. Raises BootError when nobody would take it there."""
        if self.signature is None:
            return ()
        if self.assembly is not Assembly.BOOTPATH:
            raise BootError("only the initramfs of bootpath hands a signature to the kernel", where="command line")
        device = device_word(self.signature, RootStyle(self._called(self.signature), self.assembly))
        return (f"systemd.verity_root_options=root-hash-signature={device}",)

    def slots(self) -> tuple[str, ...]:
        """The words that say where the root lies, and its hash tree, for those that are partitions."""
        if self.place is None:
            return ()
        spots = [(_SLOT, self.place.data)]
        if self.place.verity is not None:
            spots.append((_HASH_SLOT, self.place.verity.hashes))
        return tuple(word + spot.slot for word, spot in spots if isinstance(spot, PartitionSpot) and spot.slot)


def decide_words(
    options: str, naming: RootNaming, *, append_root: bool, machine: Iterable[str] = (), append: str = ""
) -> tuple[Word, ...]:
    """The command line for an entry with these `options`.

    Of the `machine`'s words those are left out that the entry or `append` has an own value for. Raises BootError when
    the root cannot be named, FormatError when a quote does not end.
    """
    said = [Word(text, WordSource.ENTRY) for text in split_raw(options)]
    caller = [Word(text, WordSource.CALLER, "--append") for text in split_raw(append)]
    end = next((index for index, word in enumerate(said) if word.text == "--"), len(said))
    words, init = said[:end], said[end:]
    named = any(word.text.startswith(_ROOT_WORDS) for word in (*words, *caller))
    ours = append_root or not named
    if ours:
        reason = "the entry asks for the root (linux-appendroot)" if append_root else "the entry names no root"
        words += [Word(text, WordSource.LOADER, reason) for text in naming.words()]
    words += [Word(text, WordSource.LOADER, "the kernel is to check it too") for text in naming.signature_words()]
    slots = [Word(text, WordSource.LOADER, "where it was found") for text in naming.slots()]
    if ours or _names_the_place(words, naming):
        words += [slot for slot in slots if not any(word.name == slot.name for word in (*words, *caller))]
    wanted = [Word(text, WordSource.MACHINE, "the machine needs it") for text in machine]
    words += [word for word in wanted if not _is_said(word, (*words, *caller))]
    return (*words, *caller, *init)


def line_of(words: Iterable[Word]) -> str:
    """The whole command line. Raises BootError when it is longer than Linux takes."""
    return join_words(word.text for word in words)


def read_words(words: Iterable[Word]) -> RootWords:
    """What an initramfs of ours makes of them. Raises FormatError when it would refuse them."""
    return parse_root_words(line_of(words))


def _is_said(word: Word, words: Iterable[Word]) -> bool:
    """True when a word is there already; of consoles there may be several."""
    if word.name == "console=":
        return any(other.text.partition(",")[0] == word.text.partition(",")[0] for other in words)
    return any(other.name == word.name for other in words)


def _names_the_place(words: Iterable[Word], naming: RootNaming) -> bool:
    """True when the words name the root that was chosen, so that its slot may be said of them.

    Words of another initramfs may be unknown here; a slot that is not asked for harms nobody there.
    """
    place = naming.place
    if place is None or not isinstance(place.data, PartitionSpot):
        return False
    try:
        said = read_words(words)
    except (BootError, FormatError):
        return False
    if place.verity is not None:
        return said.root_hash == place.verity.root_hash and said.data_device in _names(place.data, naming)
    return said.root_hash is None and said.data_device in _names(place.data, naming)


def _names(spot: PartitionSpot, naming: RootNaming) -> tuple[str, ...]:
    return (
        f"PARTUUID={spot.partuuid}",
        f"PARTUUID={spot.partuuid.upper()}",
        partition_device(naming.disk_name, spot.number),
    )
