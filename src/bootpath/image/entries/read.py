"""The boot entries of one volume: /loader/entries, /EFI/Linux, menus like extlinux.conf, config.txt, with their files.

Sources: UAPI.1 "Locating Boot Entries", "Standard-conformance Marker File"; UAPI.5 "PE Addons", systemd-stub(7) for
where add-ons are: ``<image>.extra.d/*.addon.efi`` beside an image, ``/loader/addons/*.addon.efi`` for all.

Whatever is wrong with an entry leaves it out, with the reason; it stops no other entry. So does what is wrong with a
directory or a menu.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bootpath.core.errors import Error, FormatError, LimitError
from bootpath.core.reasons import Explanation
from bootpath.formats.entries.bls import BLS_MAX_BYTES, parse_bls
from bootpath.formats.entries.entry import (
    MENU_KINDS,
    BootEntry,
    bls_entry,
    extlinux_entry,
    grub_entry,
    grub_name,
    raspberry_pi_entry,
    uki_entries,
)
from bootpath.formats.entries.extlinux import EXTLINUX_MAX_BYTES, parse_extlinux
from bootpath.formats.entries.grub import GRUB_MAX_BYTES, parse_grub
from bootpath.formats.entries.menufiles import GRUB_FILES, ISOLINUX_FILES, MENU_FILES, MenuFile
from bootpath.formats.entries.paths import menu_path
from bootpath.formats.entries.raspberrypi import PI_COMMAND_LINE_MAX_BYTES, PI_CONFIG_MAX_BYTES, parse_pi_config
from bootpath.formats.entries.tries import parse_entry_name
from bootpath.formats.entries.uki import Uki, UkiAddon, read_uki, read_uki_addon
from bootpath.fs.readers.files import FileKind
from bootpath.image.entries.addons import addon_paths
from bootpath.image.entries.bootvolumes import BootVolume
from bootpath.image.entries.costs import EntryCosts
from bootpath.image.entries.extras import EXTRA_SUFFIXES, is_extra
from bootpath.image.entries.files import FilePart, list_files, reader_of, section_part, whole_file
from bootpath.image.entries.grubscript import search_warnings, undecided
from bootpath.image.entries.menu import EntryFiles, EntrySource, Excluded, FoundEntry, VolumeRole
from bootpath.image.entries.passedover import PassedOver, key_warnings, unexpanded_variables
from bootpath.image.entries.raspberrypi import CONFIG, PiVolume, default_names, is_pi_volume
from bootpath.image.entries.reasons import EntryReason, FileReason

_ENTRIES = "/loader/entries"
_IMAGES = "/EFI/Linux"
_MARKER, _MARKER_TEXT = "/loader/entries.srel", b"type1"


def read_volume(
    volume: BootVolume, costs: EntryCosts | None = None, passed_over: PassedOver | None = None
) -> Iterator[FoundEntry | Excluded]:
    """Every entry of a volume, and what is wrong with the others, as far as `costs` allows; words that are not known
    are noted in `passed_over`. Raises no Error."""
    reader = _VolumeReader(volume, costs or EntryCosts(), passed_over or PassedOver())
    try:
        role = volume.source.role
        for each in _everything(reader, in_root=role is VolumeRole.ROOT, on_medium=role is VolumeRole.MEDIUM):
            if isinstance(each, FoundEntry):
                reader.costs.entry()
            yield each
            if isinstance(each, Excluded):  # it may say that there are too many, and is then the last
                reader.costs.entry()
    except LimitError as error:
        yield reader.unreadable("", error)


def _everything(reader: _VolumeReader, *, in_root: bool, on_medium: bool) -> Iterator[FoundEntry | Excluded]:
    for directory in (_ENTRIES, f"/boot{_ENTRIES}") if in_root else (_ENTRIES,):
        yield from reader.entries(directory)
    yield from reader.images()
    for menu in ISOLINUX_FILES if on_medium else MENU_FILES:
        for path in reader.menu_paths(menu):
            yield from reader.menu(path) if isinstance(path, str) else (path,)
    if not in_root:
        yield from reader.raspberry_pi()
    for path in GRUB_FILES if on_medium else ():
        found = list(reader.script(path))
        yield from found
        if found:
            break


class _VolumeReader:
    def __init__(self, volume: BootVolume, costs: EntryCosts, passed_over: PassedOver) -> None:
        self.volume = volume
        self.costs = costs
        self.passed_over = passed_over
        self.files = volume.files
        self.follow = volume.follows_links

    def source(self, path: str) -> EntrySource:
        here = self.volume.source
        return replace(here, path=path)

    def exclude(self, path: str, why: Explanation[EntryReason], entry: BootEntry | None = None) -> Excluded:
        return Excluded(self.source(path), why, entry)

    def unreadable(self, path: str, error: Error, entry: BootEntry | None = None) -> Excluded:
        return self.exclude(path, EntryReason.UNREADABLE(error), entry)

    def entries(self, directory: str) -> Iterator[FoundEntry | Excluded]:
        """The files of type 1 in a directory."""
        try:
            marker = self._content(_MARKER, 4096) if directory == _ENTRIES else None
            # "If it exists but contains a different string it shall assume other semantics are implemented."
            if marker is not None and marker.strip() != _MARKER_TEXT:
                yield self.exclude(_MARKER, EntryReason.NOT_TYPE_1(repr(marker[:32]), _ENTRIES))
                return
        except LimitError:
            raise
        except Error as error:
            yield self.unreadable(_MARKER, error)  # nobody has to look for it
        for path in self._paths(directory, ".conf"):
            yield self._entry(path) if isinstance(path, str) else path

    def images(self) -> Iterator[FoundEntry | Excluded]:
        """The images of type 2."""
        for path in self._paths(_IMAGES, ".efi"):
            if isinstance(path, Excluded):
                yield path
                continue
            try:
                name = path.rpartition("/")[2]
                parse_entry_name(name)
                uki = self._uki(path)
                entries = uki_entries(name, path, uki)
            except Error as error:
                yield self.unreadable(path, error)
                continue
            for entry in entries:
                yield self._found(path, entry, uki)

    def menu_paths(self, menu: MenuFile) -> Iterator[str | Excluded]:
        """The files that a row of `MENU_FILES` means, which need not be there."""
        if menu.any_prefix:
            yield from self._paths(menu.directory, menu.name)
        else:
            yield menu.path

    def menu(self, path: str) -> Iterator[FoundEntry | Excluded]:
        """The labels of a menu."""
        directory = path.rpartition("/")[0]

        def include(name: str) -> bytes:
            data = self._content(menu_path(name, directory), EXTLINUX_MAX_BYTES)
            if data is None:
                raise FormatError(f"INCLUDE names {name!r}, which is missing", where="extlinux")
            return data

        try:
            data = self._content(path, EXTLINUX_MAX_BYTES)
            if data is None:
                return
            menu = parse_extlinux(data, include)
        except Error as error:
            yield self.unreadable(path, error)
            return
        self.passed_over.note_keywords(menu.ignored)
        seen: set[str] = set()
        for place, label in enumerate(menu.labels):
            if label.name in seen:
                yield self.exclude(path, EntryReason.DUPLICATE_LABEL(label.name))
                continue
            seen.add(label.name)
            try:
                entry = extlinux_entry(menu, place, directory)
            except Error as error:
                yield self.unreadable(path, error.at(f"label {label.name}"))
                continue
            yield self._found(path, entry, None, tuple(unexpanded_variables(entry)))

    def raspberry_pi(self) -> Iterator[FoundEntry | Excluded]:
        """What the firmware of a Raspberry Pi would load."""
        try:
            data = self._content(CONFIG, PI_CONFIG_MAX_BYTES)
            if data is None:
                return
            names = self._names("/")
            if not is_pi_volume(names):
                return
            config = parse_pi_config(data, self._pi_include)
            prefix = config.value("os_prefix") or ""
            volume = PiVolume(config, names, self._names(f"/{prefix}".rpartition("/")[0]) if prefix else names)
            boots = volume.boots()
        except Error as error:
            yield self.unreadable(CONFIG, error)
            return
        if not boots:
            yield self.exclude(CONFIG, EntryReason.NO_KERNEL(default_names()))
        for rank, boot in enumerate(boots):
            try:
                line = self._content(f"/{boot.command_line}", PI_COMMAND_LINE_MAX_BYTES)
                # "All parameters in cmdline.txt must be on the same line"
                options = (line or b"").split(b"\n", 1)[0].decode("utf-8", "surrogateescape").strip()
                entry = raspberry_pi_entry(boot, options, rank)
            except Error as error:
                yield self.unreadable(CONFIG, error)
                continue
            missing = [f"{boot.command_line} is missing: the kernel gets only what the firmware adds"] * (line is None)
            yield self._found(CONFIG, entry, None, (*missing, *volume.warnings(boot)))

    def _pi_include(self, name: str) -> bytes:
        data = self._content(f"/{name}", PI_CONFIG_MAX_BYTES)
        if data is None:
            raise FormatError(f"include names {name!r}, which is missing", where=CONFIG)
        return data

    def _names(self, directory: str) -> frozenset[str]:
        """The names in a directory, in lower case. Raises Error."""
        listed = list_files(self.files, directory, "", follow=self.follow, costs=self.costs)
        return frozenset(entry.name.lower() for entry in listed)

    def script(self, path: str) -> Iterator[FoundEntry | Excluded]:
        """The entries of a grub.cfg that say what they boot; nothing where there is no such file."""
        try:
            data = self._content(path, GRUB_MAX_BYTES)
            if data is None:
                return
            menu = parse_grub(data)
        except Error as error:
            yield self.unreadable(path, error)
            return
        for number, found in enumerate(menu.entries):
            try:
                why = undecided(found, self.volume)
                if why:
                    yield self.exclude(path, EntryReason.UNDECIDED(why), grub_name(found))
                    continue
                entry = grub_entry(menu, number)
            except Error as error:
                yield self.unreadable(path, error, grub_name(found))
                continue
            yield self._found(path, entry, None, tuple(search_warnings(found)))

    def _paths(self, directory: str, suffix: str) -> Iterator[str | Excluded]:
        """The files in a directory that end in `suffix`; what is no file is left out."""
        try:
            for entry in list_files(self.files, directory, suffix, follow=self.follow, costs=self.costs):
                path = f"{directory}/{entry.name}"
                if entry.kind is FileKind.FILE:
                    yield path
                elif entry.kind is not FileKind.DIRECTORY:
                    yield self.exclude(path, EntryReason.NOT_A_FILE(entry.kind.value))
        except Error as error:
            yield self.unreadable(directory, error)

    def _content(self, path: str, max_bytes: int) -> bytes | None:
        """A small file; None where there is none. Raises Error."""
        piece = self._piece(path)
        if piece.fault is not None and piece.fault.reason is FileReason.MISSING:
            return None
        if piece.fault is not None:
            raise FormatError(f"the file {piece.fault}", where=path)
        return self._text(piece.path, max_bytes)

    def _text(self, path: str, max_bytes: int) -> bytes:
        """A file that is parsed. Raises Error."""
        data = self.files.read_file(path, max_bytes)
        self.costs.text(len(data))
        return data

    def _entry(self, path: str) -> FoundEntry | Excluded:
        try:
            bls = parse_bls(self._text(path, BLS_MAX_BYTES))
            self.passed_over.note_keys(key for key, _ in bls.unknown)
            entry = bls_entry(path.rpartition("/")[2], bls)
            doubts = self.files.doubts(path)
        except Error as error:
            return self.unreadable(path, error)
        warnings = (
            *(f"the file {path} {doubt}" for doubt in doubts),
            *key_warnings(bls),
            *(f"{key} comes more than once; the last one counts" for key in bls.repeated),
            *(f"extra {path} has none of {', '.join(EXTRA_SUFFIXES)}" for path in entry.extras if not is_extra(path)),
            *unexpanded_variables(entry),
        )
        uki = None
        if entry.uki:
            try:
                uki = self._uki(entry.uki)
            except Error as error:
                return self.unreadable(path, error, entry)
        return self._found(path, entry, uki, warnings)

    def _uki(self, path: str) -> Uki:
        piece = self._piece(path)
        if piece.size_bytes is None:
            raise FormatError(f"the image {path} {piece.fault}")
        return read_uki(self.costs.counted(reader_of(self.files, piece.path)), piece.size_bytes)

    def _found(
        self, path: str, entry: BootEntry, uki: Uki | None, warnings: tuple[str, ...] = ()
    ) -> FoundEntry | Excluded:
        said = list(warnings)
        try:
            parts = self._plain_parts(entry, said) if uki is None else self._uki_parts(entry, uki, said)
        except Error as error:
            return self.unreadable(path, error, entry)
        doubted = {piece.path: piece.doubts for piece in parts.pieces()}
        said += [f"the file {where} {doubt}" for where, doubts in doubted.items() for doubt in doubts]
        for piece in parts.pieces():
            if piece.size_bytes is None:
                what = "kernel" if piece is parts.kernel else "initrd" if piece in parts.initrds else "file"
                return Excluded(
                    self.source(path), EntryReason.FILE_UNUSABLE(what, piece.path, piece.fault), entry, parts
                )
        if parts.kernel.size_bytes == 0:
            return Excluded(self.source(path), EntryReason.KERNEL_EMPTY(parts.kernel.path), entry, parts)
        return FoundEntry(entry, self.source(path), parts, self.volume.address, self.files, tuple(said))

    def _plain_parts(self, entry: BootEntry, warnings: list[str]) -> EntryFiles:
        overlays = self._pieces(entry.devicetree_overlays)
        if entry.kind in MENU_KINDS:  # U-Boot and a Raspberry Pi boot without an overlay that they cannot load
            missing = [piece for piece in overlays if piece.size_bytes is None]
            warnings += [f"the device tree overlay {piece.path} {piece.fault}, and is left out" for piece in missing]
            overlays = tuple(piece for piece in overlays if piece.size_bytes is not None)
        return EntryFiles(
            self._piece(entry.linux or entry.efi),
            self._pieces(entry.initrds),
            self._piece(entry.devicetree) if entry.devicetree else None,
            overlays,
            self._pieces(entry.extras),
            command_line=entry.options or "",
        )

    def _uki_parts(self, entry: BootEntry, uki: Uki, warnings: list[str]) -> EntryFiles:
        """The sections of an image in their places, with those of its add-ons. Raises Error."""
        profile = uki.profile(entry.profile)
        warnings += [f"the file {entry.uki} {doubt}" for doubt in self.files.doubts(entry.uki)]
        addons = list(self._addons(entry.uki, uki, profile.uname, warnings))

        def own(name: str) -> tuple[FilePart, ...]:
            return tuple(section_part(entry.uki, section) for section in profile.sections.get(name, ()))

        def added(name: str) -> tuple[FilePart, ...]:
            return tuple(section_part(path, each) for path, addon in addons for each in addon.sections.get(name, ()))

        (kernel,) = own(".linux")
        # "In case of .ucode the contained cpio archives should be prefixed to the regular initrds passed to the kernel,
        # in reverse order. In case of .initrd ... should be appended".
        initrds = (*added(".ucode")[::-1], *own(".ucode"), *own(".initrd"), *added(".initrd"))
        options = entry.options if entry.options is not None else profile.command_line or ""
        devicetrees = own(".dtb")
        return EntryFiles(
            kernel,
            (*initrds, *self._pieces(entry.initrds)),
            self._piece(entry.devicetree) if entry.devicetree else next(iter(devicetrees), None),
            (*added(".dtb"), *self._pieces(entry.devicetree_overlays)),
            self._pieces(entry.extras),
            tuple(path for path, _ in addons),
            " ".join(part for part in (options, *(addon.command_line for _, addon in addons)) if part),
        )

    def _addons(self, image: str, uki: Uki, uname: str, warnings: list[str]) -> Iterator[tuple[str, UkiAddon]]:
        """The add-ons of an image, "sorted by their filename, and applied in this order"; those of all images first.

        One that is damaged, or for something else, is left out with a warning, as systemd-stub does.
        """
        for path in addon_paths(self.files, image, follow=self.follow, costs=self.costs, warnings=warnings):
            piece = self._piece(path)
            try:
                addon = self._addon(piece)
            except LimitError:
                raise
            except Error as error:
                warnings.append(f"the add-on {piece.path} is left out: {error}")
                continue
            # "candidates should be skipped when their header field reports a non-native CPU architecture"
            if addon.architecture is not uki.architecture:
                warnings.append(f"the add-on {piece.path} is left out: it is for another architecture")
            # systemd-stub(7): both have a .uname, and "they do not exactly match"
            elif addon.uname and uname and addon.uname != uname:
                warnings.append(f"the add-on {piece.path} is left out: it is for {addon.uname}, not for {uname}")
            else:
                yield piece.path, addon

    def _addon(self, piece: FilePart) -> UkiAddon:
        if piece.size_bytes is None:
            raise FormatError(f"the file {piece.fault}")
        return read_uki_addon(self.costs.counted(reader_of(self.files, piece.path)), piece.size_bytes)

    def _piece(self, path: str) -> FilePart:
        """The file at a path. Raises LimitError."""
        self.costs.file()
        return whole_file(self.files, path, follow=self.follow, costs=self.costs)

    def _pieces(self, paths: tuple[str, ...]) -> tuple[FilePart, ...]:
        return tuple(map(self._piece, paths))
