"""Old spellings: each gets one line that says the new one, and exit code 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootpath.cli.failures import UsageError


@dataclass(frozen=True, slots=True)
class Renamed:
    """An option of a command (its first words) that is called otherwise now; `value`: only with one of these values."""

    command: str
    flag: str
    now: str
    values: frozenset[str] = frozenset()


_PLACES = frozenset({"esp", "xbootldr", "root"})
OPTIONS = (
    Renamed("boot", "--vm", "is gone: boot always starts a machine"),
    Renamed("entries", "--policy", "is the image policy: where entries are looked for is --look-in", _PLACES),
    Renamed("entries", "--image-policy", "is now --policy"),
    Renamed("entries", "--fixed", "is now --disk-name"),
    Renamed("build live", "--efi-size", "is now --esp-size"),
    Renamed("build image", "--sign", "is now --key and --key-certificate"),
    Renamed("build image", "--certificate", "is now --key-certificate"),
    Renamed("build image", "--format", "is now --file-system"),
    Renamed("build image", "--loader", "is now --efi-loader"),
    Renamed("build initramfs", "--root", "is now --sysroot"),
    Renamed("build initramfs", "--compress", "is now --compression"),
    Renamed("dm read", "--disk", "is now --partitions-of"),
    Renamed("dm hash", "--disk", "is now --partitions-of"),
    Renamed("dm serve", "--disk", "is now --partitions-of"),
    Renamed("dm serve", "--name", "is now --export"),
    Renamed("dm export", "--format", "is now --to"),
    Renamed("dm export", "--name", "is now --dm-name"),
    Renamed("dm export", "--uuid", "is now --dm-uuid"),
    Renamed("dm export", "--minor", "is now --dm-minor"),
    Renamed("dm export", "--ro", "is now --read-only"),
    Renamed("serve", "--name", "is now --export"),
    Renamed("verity open", "--table", "is now --print-table"),
    Renamed("verity sign", "--certificate", "is now --key-certificate"),
    Renamed("verity sign", "--password-file", "is now --key-password-file"),
    Renamed("lived", "--memory", "is now --preload-memory"),
)
COMMANDS = {
    "image": "bootpath build image",
    "image build": "bootpath build image",
    "image plan": "bootpath build image --dry-run",
}


def check_spelling(words: Sequence[str], program: str = "bootpath") -> None:
    """Refuse the command and the options that are called otherwise now. Raises UsageError."""
    command = program if program != "bootpath" else " ".join(words[:1])
    for name in (" ".join(words[:2]), command):
        if name in COMMANDS:
            raise UsageError(f"this command is now: {COMMANDS[name]}", where=f"bootpath {name}")
    for renamed in OPTIONS:
        if renamed.command not in (command, " ".join(words[:2])):
            continue
        for index, word in enumerate(words):
            flag, equals, value = word.partition("=")
            if flag != renamed.flag:
                continue
            if not equals:
                value = words[index + 1] if index + 1 < len(words) else ""
            if not renamed.values or set(value.lower().split(",")) <= {*renamed.values, ""}:
                where = program if program != "bootpath" else f"bootpath {renamed.command}"
                raise UsageError(f"{flag} {renamed.now}", where=where)
