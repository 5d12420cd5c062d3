"""Hostile command lines for every command there is, made from the parsers: a new command, or option, is in them.

A case is run in a `Place`: a directory with what commands expect (`SOUND`, by what the help calls an operand) and with
what nobody should give them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bootpath.block.leaves.file import FileDevice
from bootpath.block.overlay.file import OverlayFile
from bootpath.cli import lived
from bootpath.cli.main import build_parser, main
from tests.support.images import make_image
from tests.support.parsers import leaves

SOUND_OPERANDS = {
    "DISK": "disk.img",
    "DATA": "data",
    "HASH": "hashes",
    "ROOT_HASH": "00" * 32,
    "TABLE": "table",
    "OVERLAY": "overlay",
    "BASE": "data",
    "DIR": "tree",
    "SOURCE": "tree",
    "shell": "bash",
}
"""A value that a command accepts, or nearly, of each operand."""

SOUND = {
    "--output": "out",
    "--table": "table",
    "--env": "handoff",
    "--preload-memory": "data",
    "--no-disk": None,
    "--key": "data",
    "--key-certificate": "data",
    "--run": "true",
}
"""Values of options that are required."""
_ALWAYS = {"--output", "--run"}
"""Given although they are not: then a command goes further, or ends."""

# fmt: off
ODD_FILES = ("missing", "tree", "empty/below", "closed/below", "unreadable", "loop", "")
"""What every file of every command is once: none, a directory, in no directory, in a closed one, a link to itself."""
HOSTILE_FILES = (
    "missing/below", "empty", "byte", "random", "loop/below", "dangling", "socket", ".", "..", "/", "/dev/null",
    "/proc/self/mem", "new\nline", "esc\x1b[31m", "rtl\u202e", os.fsdecode(b"not\xffutf8"), "n" * 300, "n/" * 3000,
    "nul\0", "-", "--", "http://[::1/x", "http://", "http://:x@/", "https://127.0.0.1:99999/x", "http://\x7f/",
    "s3://", "s3://[", "s3:///key", "s3://\x1b/", "nbd://", "nbd://[::1/x", "nbd://127.0.0.1:1/x", "nbd://h:99999/",
    "nbd+unix://", "nbd+unix:///?socket=missing", "nbd+unix:///x?socket=" + "n" * 200, "nbds://[", "nbd://%ff/%zz",
    "file://", "file://[", "file://host/x", "file:///missing", "ftp://x", "://", "nbd+unix:///?socket=%00",
)
"""Operands that are no sound file, nor directory, nor disk."""
HOSTILE_VALUES = (
    "", " ", "0", "-0", "-1", "1.5", "1e999", "nan", "inf", "-inf", "9" * 30, "9" * 5000, "1_000", "\u0661", "0x10",
    "9999999999EiB", "99999999999999999s", "1 MiB", "\u00e9", "\x1b[31m", "\u202e", os.fsdecode(b"\xff"), "nul\0",
    "new\nline", "a" * 5000, "-", "--", "=", ",", ":", "a=b", "[::1", "[::1]:x", ":99999", "host:", "%", "(*", "../..",
    "/", "{}", "'", '"', "00", "f" * 64, "none", "1:2:3", "127.0.0.1:1", "0.0.0.0:0", "none.png", "no/x.svg",
)
"""Values of an option, whatever it takes."""
# fmt: on

STREAMS = ("stdin", "stdout", "stderr", "full")
"""What is closed; `full`: stdout takes nothing."""


_FILES = frozenset({"F", "D", "DIR", "FILE|-"})
"""What the help calls the value of an option that is a file, a directory, or a disk."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command that can be run: its program, the words that name it, its parser, and the exit codes of its help."""

    program: str
    words: tuple[str, ...]
    parser: argparse.ArgumentParser
    codes: frozenset[int]

    def __str__(self) -> str:
        return " ".join((self.program, *self.words))

    @property
    def positionals(self) -> list[argparse.Action]:
        """The operands that it takes."""
        return [action for action in self.parser._actions if not action.option_strings]

    @property
    def options(self) -> list[argparse.Action]:
        """The options that take a value."""
        return [action for action in self.parser._actions if action.option_strings and action.nargs != 0]

    @property
    def flags(self) -> set[str]:
        """All options."""
        return set(self.parser._option_string_actions)

    def sound(self, *without: argparse.Action) -> list[str]:
        """A command line that is complete, but for these. A server runs a command that ends, and so ends itself."""
        words = [*self.words]
        groups = [{*group._group_actions} for group in self.parser._mutually_exclusive_groups if group.required]
        for flag, value in SOUND.items():
            action = self.parser._option_string_actions.get(flag)
            if action is None or action in without:
                continue
            group = next((group for group in groups if action in group), set[argparse.Action]())
            if action.required or flag in _ALWAYS or (group and not group & {*without}):
                words += [flag] if value is None else [flag, value]
        operands = [action for action in self.positionals if action not in without]
        return words + [str(SOUND_OPERANDS[str(action.metavar or action.dest)]) for action in operands]


@dataclass(frozen=True, slots=True)
class Case:
    """One command line; `stream` is what is wrong with its streams."""

    words: tuple[str, ...]
    stream: str = ""


def commands() -> list[Command]:
    """All that can be run."""
    parser = build_parser()
    found = []
    for leaf in leaves(parser):
        words = tuple(leaf.prog.split()[1:])
        found.append(Command("bootpath", words, leaf, _codes(parser, words)))
    daemon = lived.build_parser()
    return [*found, Command("lived", (), daemon, _codes(daemon, ()))]


def _codes(parser: argparse.ArgumentParser, words: Sequence[str]) -> frozenset[int]:
    """The exit codes that the help names, of the command or of the one that it is an action of; 0, 1 and 2 if none."""
    texts = [parser.epilog or ""]
    for word in words:
        parser = next(each.choices[word] for each in parser._actions if isinstance(each, argparse._SubParsersAction))
        texts.append(parser.epilog or "")
    said = " ".join(text.partition("exit codes:")[2] for text in texts)
    return frozenset(map(int, re.findall(r"\b[0-9]\b", said))) or frozenset({0, 1, 2})


def cases_of(command: Command, generator: Random, samples: int = 1) -> Iterator[Case]:
    """Odd files, hostile values of each option (as many as `samples` times), unknown options, broken streams."""
    for case in (
        *_operands(command, generator, 8 * samples),
        *_values(command, generator, samples),
        *_forms(command, generator),
        *(Case(tuple(command.sound()), stream) for stream in STREAMS),
    ):
        as_json = "--json" in command.flags and generator.random() < 0.5
        words = case.words
        yield Case((*command.words, "--json", *words[len(command.words) :]), case.stream) if as_json else case


def _operands(command: Command, generator: Random, samples: int) -> Iterator[Case]:
    for operand in command.positionals:
        for hostile in (*ODD_FILES, *generator.sample(HOSTILE_FILES, samples)):
            words = command.sound(*command.positionals)
            operands = [SOUND_OPERANDS[str(each.metavar or each.dest)] for each in command.positionals]
            operands[command.positionals.index(operand)] = hostile
            yield Case((*words, *operands))


def _values(command: Command, generator: Random, samples: int) -> Iterator[Case]:
    for option in command.options:
        odd = ODD_FILES if option.metavar in _FILES else generator.sample(HOSTILE_VALUES, 2 * samples)
        for hostile in (*odd, *generator.sample(HOSTILE_FILES, samples)):
            words = command.sound(option)
            at = len(command.words)
            yield Case((*words[:at], f"{option.option_strings[-1]}={hostile}", *words[at:]))


def _forms(command: Command, generator: Random) -> Iterator[Case]:
    whole = command.sound()
    for more in (
        (),
        ("one more",),
        ("--no-such-option",),
        ("--no-such=\x1b[31m\n\u202e",),
        ("-",),
        ("-Z",),
        ("--",),
        ("--j",),
    ):
        yield Case((*whole, *more))
    for count in range(len(command.words) + 1):
        yield Case(command.words[:count])
    others = sorted({flag for other in commands() for flag in other.flags} - command.flags)
    for flag in generator.sample(others, 8):
        yield Case((*whole, flag))
    for option in generator.sample(command.options, min(4, len(command.options))):
        yield Case((*whole, option.option_strings[-1]))
        yield Case((*whole, *(option.option_strings[-1], "1") * 2))


class Place:
    """A directory with sound things and with odd ones; `changed` says what became of them, `restore` puts them back."""

    def __init__(self, folder: Path) -> None:
        self._sound = folder / "sound"
        self._sound.mkdir()
        _make_sound(self._sound)
        self.path = folder / "place"
        self._known: dict[str, tuple[int, ...]] = {}
        self.restore()

    def restore(self) -> None:
        """As it was in the beginning."""
        changed = self.changed() if self.path.exists() else []
        new = [self.path / name for name in changed if name not in self._known]
        if len(new) == len(changed) > 0 and all(path.is_file() for path in new):
            for path in new:
                path.unlink()
            return
        if self.path.exists():
            self.path.chmod(0o700)
            (self.path / "closed").chmod(0o700)
            shutil.rmtree(self.path)
        shutil.copytree(self._sound, self.path)
        place = self.path
        (place / "empty").touch()
        (place / "byte").write_bytes(b"\n")
        (place / "random").write_bytes(Random(5).randbytes(9000))
        (place / "unreadable").write_bytes(b"secret")
        (place / "unreadable").chmod(0)
        (place / "closed").mkdir(mode=0)
        (place / "loop").symlink_to("loop")
        (place / "dangling").symlink_to("nowhere")
        for name in ("new\nline", "esc\x1b[31m", "rtl\u202e", os.fsdecode(b"not\xffutf8")):
            (place / name).write_bytes(b"\x1b[31m\n\xff")
        os.mknod(place / "socket", stat.S_IFSOCK | 0o600)
        self._known = self._look()

    def changed(self) -> list[str]:
        """The names of what appeared, went, or has become something else."""
        now = self._look()
        return sorted(name for name in now.keys() | self._known.keys() if now.get(name) != self._known.get(name))

    def _look(self) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        for entry in os.scandir(self.path):
            status = entry.stat(follow_symlinks=False)
            found[entry.name] = (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns)
        return found


def _make_sound(folder: Path) -> None:
    (folder / "tree").mkdir()
    make_image(folder)
    shutil.rmtree(folder / "tree")
    (folder / "tree").mkdir()
    (folder / "tree" / "file").write_bytes(b"content")
    (folder / "data").write_bytes(Random(1).randbytes(1 << 16))
    with closing(FileDevice.open(folder / "data")) as base:
        OverlayFile.create(folder / "overlay", base).close()
    assert main(["verity", "format", *(str(folder / name) for name in ("data", "hashes")), "--json"]) == 0
    (folder / "table").write_text("0 8 linear data 0\n8 8 zero\n")
    (folder / "handoff").write_text("DISK_LIVE_ADDR=1000\nDISK_LIVE_SIZE=10000\nREDOXFS_FULL_SIZE=10000\n")
