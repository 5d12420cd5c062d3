"""Reading a repart.d file: every key has its place in a `RepartDefinition` and a function that reads its value.

Source: repart.d(5). The last assignment of a key counts, those of a list add up, an empty one takes back what was said
before. What nobody knows is an error with file, section, key and line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from uuid import UUID

from bootpath.core.errors import FormatError
from bootpath.formats.partitions.dps import Architecture, Designator, type_guid
from bootpath.formats.repart.definition import (
    IGNORED,
    REFUSED,
    REPART_SECTION,
    REPART_SPEC,
    SPLIT_SPECIFIERS,
    CopyFiles,
    FileSystemFormat,
    Ignored,
    Minimize,
    RepartDefinition,
    VerityRole,
    check_label,
    partition_type,
)
from bootpath.formats.repart.unitfile import Assignment, parse_unit_file
from bootpath.formats.repart.values import (
    GRAIN_BYTES,
    absolute_path,
    boolean,
    expand_specifiers,
    flag_bits,
    power_of_two,
    rounded_size,
    words,
)

_LISTS = ("copy_files", "exclude_files", "make_directories")


def parse_repart(
    data: bytes, *, name: str, architecture: Architecture, specifiers: Mapping[str, str] | None = None
) -> RepartDefinition:
    """The partition that a file called `name` defines.

    `architecture` is what "root" and "usr" mean; `specifiers` what "%a" and the like stand for, by letter. Raises
    FormatError that names file, line and key.
    """
    reader = _Reader(name, architecture, specifiers or {})
    for assignment in parse_unit_file(data, where=name):
        reader.take(assignment)
    return reader.finish()


class _Reader:
    """Takes the assignments of one file; `here` is the one being read."""

    def __init__(self, name: str, architecture: Architecture, specifiers: Mapping[str, str]) -> None:
        self.name, self.architecture, self.specifiers = name, architecture, specifiers
        self.values: dict[str, object] = {}
        self.lines: dict[str, int] = {}
        self.ignored: list[Ignored] = []
        self.here = Assignment(REPART_SECTION, "", "", 0)

    def take(self, assignment: Assignment) -> None:
        """One assignment; the last one of a key counts, lists grow, and an empty value takes back what was said."""
        self.here = assignment
        key = assignment.key
        if assignment.section.startswith("X-") or key.startswith("X-"):
            return  # systemd.syntax(7): for applications
        if assignment.section != REPART_SECTION:
            raise FormatError(
                f"the section [{assignment.section[:40]}] is unknown",
                where=f"{self.name}:{assignment.line}",
                expected=f"[{REPART_SECTION}]",
                spec=REPART_SPEC,
            )
        if key in IGNORED:
            self.ignored.append(Ignored(key, assignment.line, IGNORED[key]))
            return
        if key in REFUSED:
            if key == "Encrypt" and assignment.value in ("", "off", "no", "false", "0"):
                return
            raise self._fault("the key is not supported", hint=REFUSED[key])
        if key not in _KEYS:
            raise self._fault("the key is unknown", hint=f"known are {', '.join(_KEYS)}")
        attribute, read = _KEYS[key]
        self.lines[key] = assignment.line
        if not assignment.value:
            self.values.pop(attribute, None)
        elif attribute in _LISTS:
            before, added = self.values.get(attribute, ()), read(self, assignment.value)
            assert isinstance(before, tuple)
            assert isinstance(added, tuple)
            self.values[attribute] = before + added
        else:
            self.values[attribute] = read(self, assignment.value)

    def finish(self) -> RepartDefinition:
        """The definition, after what must hold between its keys."""
        values = dict(self.values)
        # "This setting defaults to linux-generic."
        guid = values.pop("type_guid", type_guid(Designator.LINUX_GENERIC))
        definition = RepartDefinition(self.name, guid, ignored=tuple(self.ignored), **values)  # type: ignore[arg-type]
        self._check(definition)
        return definition

    def _check(self, of: RepartDefinition) -> None:
        """What must hold between keys."""
        if of.copy_blocks is not None and (of.format is not None or of.copy_files or of.make_directories):
            # "This option cannot be combined with Format= or CopyFiles=."
            raise self._clash("CopyBlocks", "the value is combined with Format=, CopyFiles= or MakeDirectories=")
        if of.size_min_bytes is not None and of.size_max_bytes is not None and of.size_min_bytes > of.size_max_bytes:
            raise self._clash(
                "SizeMaxBytes", f"the value is {of.size_max_bytes}, below SizeMinBytes= with {of.size_min_bytes}"
            )
        if of.size_max_bytes is not None and of.size_max_bytes < GRAIN_BYTES:
            raise self._clash(
                "SizeMaxBytes", f"the value is {of.size_max_bytes}: partitions have {GRAIN_BYTES} bytes or more"
            )
        if of.verity is not VerityRole.OFF and of.verity_match_key is None:
            raise self._clash("Verity", f"the value is {of.verity.value}, and VerityMatchKey= does not say for which")
        if of.verity is VerityRole.OFF and of.verity_match_key is not None:
            raise self._clash("VerityMatchKey", "the value is given without Verity=")
        made = of.populated_format is not None or of.copy_blocks is not None
        if of.verity in (VerityRole.HASH, VerityRole.SIGNATURE) and made:
            raise self._clash(
                "Verity", f"the value is {of.verity.value}: what the partition holds is computed, not copied"
            )
        if of.verity is VerityRole.DATA and not made:
            raise self._clash(
                "Verity", "the value is data, and nothing says what the data is: CopyFiles=, CopyBlocks= or Format="
            )
        if of.format is FileSystemFormat.SWAP and (of.copy_files or of.make_directories):
            raise self._clash("Format", "the value is swap, which holds no files")

    def _clash(self, key: str, what: str) -> FormatError:
        place = f"{self.name}:{self.lines.get(key, 0)}: [{REPART_SECTION}] {key}="
        return FormatError(what, where=place, spec=REPART_SPEC)

    def sized(self, text: str, *, up: bool) -> int:
        """A size in whole grains."""
        return rounded_size(text, where=self._place(), up=up)

    def flag(self, text: str) -> bool:
        """A boolean."""
        return boolean(text, where=self._place())

    def block(self, text: str) -> int:
        """A verity block size."""
        return power_of_two(text, where=self._place())

    def bits(self, text: str) -> int:
        """The flags of an entry."""
        return flag_bits(text, where=self._place())

    def expand(self, text: str) -> str:
        """The text with its specifiers replaced."""
        return expand_specifiers(text, self.specifiers, where=self._place())

    def choose(self, kind: type[Enum], text: str) -> Enum:
        """The member with this value."""
        for member in kind:
            if member.value == text:
                return member
        raise self._fault(
            "the value is not valid", found=text, expected="one of " + ", ".join(member.value for member in kind)
        )

    def read_type(self, text: str) -> UUID:
        guid = partition_type(text, self.architecture)
        if guid is None:
            raise self._fault(
                "the value is not valid",
                found=text,
                expected="a UUID, or a name like root, root-verity, usr-arm64, esp",
            )
        return guid

    def read_label(self, text: str) -> str:
        return check_label(self.expand(text), where=self._place())

    def read_uuid(self, text: str) -> UUID:
        try:
            return UUID(int=0) if text == "null" else UUID(text)
        except ValueError:
            raise self._fault("the value is not valid", found=text, expected='a UUID or "null"') from None

    def read_copy_files(self, text: str) -> tuple[CopyFiles, ...]:
        # "a pair of colon separated absolute file system paths"
        source, colon, target = text.partition(":")
        if ":" in target:
            raise self._fault("the value is not valid", found=text, expected="source:target, without options")
        place = self._place()
        start = absolute_path(self.expand(source), where=place)
        return (CopyFiles(start, absolute_path(self.expand(target), where=place) if colon else start),)

    def read_copy_blocks(self, text: str) -> str:
        if text == "auto":
            raise self._fault('the value is "auto", which speaks of the running system', hint="name a file")
        return absolute_path(self.expand(text), where=self._place())

    def read_paths(self, text: str) -> tuple[str, ...]:
        place = self._place()
        return tuple(absolute_path(self.expand(word), where=place) for word in words(text, where=place))

    def read_excluded(self, text: str) -> tuple[str, ...]:
        # "If the path ends in a slash, only the directory's contents are excluded"
        place = self._place()
        found: list[str] = []
        for word in words(text, where=place):
            path = self.expand(word)
            excluded = absolute_path(path, where=place)
            found.append(excluded + "/" if path.endswith("/") and excluded != "/" else excluded)
        return tuple(found)

    def read_minimize(self, text: str) -> Enum:
        # A boolean is taken too: "yes" is "best".
        if text.lower() in ("1", "yes", "y", "true", "t", "on"):
            return Minimize.BEST
        if text.lower() in ("0", "no", "n", "false", "f"):
            return Minimize.OFF
        return self.choose(Minimize, text)

    def read_level(self, text: str) -> int:
        if not text.lstrip("-").isdecimal() or not text.isascii() or len(text) > 4:
            raise self._fault("the value is not valid", found=text[:40], expected="a small number")
        return int(text)

    def read_split_name(self, text: str) -> str:
        if "/" in text or text in (".", "..") or text.startswith("."):
            raise self._fault("the value is not valid", found=text, expected="part of a file name")
        # What only the finished partition knows is left in, and so are percent signs.
        table = {letter: value.replace("%", "%%") for letter, value in self.specifiers.items()}
        table |= {letter: f"%{letter}" for letter in SPLIT_SPECIFIERS}
        return "%%".join(expand_specifiers(part, table, where=self._place()) for part in text.split("%%"))

    def read_word(self, text: str) -> str:
        if len(text) > 64 or not text.isprintable() or " " in text:
            raise self._fault("the value is not valid", found=repr(text[:40]), expected="one short word")
        return text

    def _place(self) -> str:
        return f"{self.name}:{self.here.line}: [{REPART_SECTION}] {self.here.key}="

    def _fault(
        self, what: str, *, found: object = None, expected: object = None, hint: str | None = None
    ) -> FormatError:
        return FormatError(what, where=self._place(), found=found, expected=expected, spec=REPART_SPEC, hint=hint)


_KEYS: Mapping[str, tuple[str, Callable[[_Reader, str], object]]] = {
    "Type": ("type_guid", _Reader.read_type),
    "Label": ("label", _Reader.read_label),
    "UUID": ("uuid", _Reader.read_uuid),
    "SizeMinBytes": ("size_min_bytes", lambda reader, text: reader.sized(text, up=True)),
    "SizeMaxBytes": ("size_max_bytes", lambda reader, text: reader.sized(text, up=False)),
    "Format": ("format", lambda reader, text: reader.choose(FileSystemFormat, text)),
    "CopyFiles": ("copy_files", _Reader.read_copy_files),
    "CopyBlocks": ("copy_blocks", _Reader.read_copy_blocks),
    "ExcludeFiles": ("exclude_files", _Reader.read_excluded),
    "MakeDirectories": ("make_directories", _Reader.read_paths),
    "Minimize": ("minimize", _Reader.read_minimize),
    "Verity": ("verity", lambda reader, text: reader.choose(VerityRole, text)),
    "VerityMatchKey": ("verity_match_key", _Reader.read_word),
    "VerityDataBlockSizeBytes": ("verity_data_block_bytes", _Reader.block),
    "VerityHashBlockSizeBytes": ("verity_hash_block_bytes", _Reader.block),
    "Compression": ("compression", _Reader.read_word),
    "CompressionLevel": ("compression_level", _Reader.read_level),
    "ReadOnly": ("read_only", _Reader.flag),
    "NoAuto": ("no_auto", _Reader.flag),
    "GrowFileSystem": ("grow_file_system", _Reader.flag),
    "Flags": ("flags", _Reader.bits),
    "SplitName": ("split_name", _Reader.read_split_name),
}
