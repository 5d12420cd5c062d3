"""grub.cfg: the entries of GRUB's menu, as far as the file says them without being run.

Source: GRUB manual 2.06 §6 and §16 (menuentry, submenu, linux, initrd, search, set), §15.1.6 "default". A file is a
script of words (`grubwords`). What is read here is its plain part::

    menuentry "title" [--class C …] [--id ID] [--hotkey K] {
        linux PATH words…        kernel, and its options
        initrd PATH…             its archives, one after the other
    }
    submenu "title" { … }        a menu of its own, with entries
    set default=…

What a script decides is not guessed. An entry is `undecided`, with the reason, when it stands in if, for, while or
until; when its words have variables that the script has not set as plain text by then; when its kernel or initrds are
loaded in an if, from a device that is named, or after something has changed ``root``; or when another file of commands
is read. A plain search for a file, a label or a UUID is kept: whoever has the medium can say whether it is found there.
Functions of the file may do whatever is in them; commands of GRUB that load or change nothing here are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from reprlib import repr as brief

from bootpath.core.errors import FormatError
from bootpath.formats.entries.grubmenu import GrubEntry, GrubMenu, GrubSearch, SearchKind
from bootpath.formats.entries.grubwords import GrubMark, Word, parse_words

GRUB_MAX_BYTES = 256 << 10
MAX_EXPANDED = 1 << 20
"""Characters that the values of variables, and the titles of the menus of every entry, have together."""
MAX_DEPTH = 16

_LINUX = frozenset({"linux", "linuxefi", "linux16"})
_INITRD = frozenset({"initrd", "initrdefi", "initrd16"})
_BEGINS = {"if": "fi", "for": "done", "while": "done", "until": "done"}
_AGAIN = frozenset({"then", "else", "elif", "do", "!"})
_ENTRIES = frozenset({"menuentry", "submenu", "hiddenentry"})
_WITH_VALUE = frozenset({"--class", "--users", "--hotkey", "--id", "--help", "--source"})
_ROOT = "root"
_FINDS = frozenset({"search", "search.fs_uuid", "search.file", "search.fs_label", "loopback", "cryptomount"})
_HARMLESS = ("-n", "--no-floppy")
_READS = frozenset({"configfile", "source", ".", "normal", "legacy_configfile", "syslinux_configfile", "eval"})
_OTHERS = frozenset(
    {"chainloader", "multiboot", "multiboot2", "kfreebsd", "knetbsd", "xnu_kernel", "ntldr", "linux_kernel"}
)


_SEARCHES = {
    **dict.fromkeys(("-f", "--file"), SearchKind.FILE),
    **dict.fromkeys(("-l", "--label", "--fs-label"), SearchKind.LABEL),
    **dict.fromkeys(("-u", "--fs-uuid"), SearchKind.UUID),
}


def parse_grub(data: bytes) -> GrubMenu:
    """The menu of a file. Raises FormatError for what is no script."""
    if len(data) > GRUB_MAX_BYTES:
        raise _fault("the menu is too long", f"{len(data)} bytes", f"at most {GRUB_MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"{data[error.start : error.end]!r} at byte {error.start}"
        raise _fault("the menu is not UTF-8", found, "UTF-8") from None
    reader = _Reader(list(parse_words(text)))
    entries = tuple(reader.menu((), _Knowledge({}), 0))
    return GrubMenu(entries, _default(entries, reader.default))


def _default(entries: Sequence[GrubEntry], wanted: str | None) -> GrubEntry | None:
    """The entry that is booted: the first one, or the one with this number, identifier or title."""
    if wanted is None:
        return None
    if not (wanted or "0").isdecimal():
        return next((each for each in entries if wanted in (each.id, each.title, each.name)), None)
    number = int((wanted or "0")[:9])
    here = [each for each in entries if not each.menus and each.place <= number]
    # Where one before it may not be in the menu, nothing here knows which has this number.
    return None if any(each.optional for each in here) or not here or here[-1].place != number else here[-1]


@dataclass(slots=True)
class _Expanded:
    """How much longer than its file a script has become: a variable may be used as often as it can be written."""

    characters: int = 0

    def add(self, characters: int) -> None:
        self.characters += characters
        if self.characters > MAX_EXPANDED:
            found = f"{self.characters} characters"
            raise _fault("the script becomes too long by its variables and menus", found, f"at most {MAX_EXPANDED}")


@dataclass(slots=True)
class _Knowledge:
    """What is known where the script has come to: plain variables, and the first reason to know less.

    `doubt` is why files may be on another device, `inside` what must be true for a command to run.
    """

    variables: dict[str, str]
    doubt: str = ""
    inside: list[str] = field(default_factory=list)
    search: GrubSearch | None = None
    expanded: _Expanded = field(default_factory=_Expanded)

    def copy(self) -> _Knowledge:
        return replace(self, variables=dict(self.variables), inside=list(self.inside))

    def value(self, word: Word) -> str:
        """The text of a word. Raises KeyError with the name of a variable that is not known, FormatError."""
        self._spend(word)
        return word.value(self.variables)

    def shown(self, word: Word) -> str:
        """The text of a word, with variables that are not known as they are written. Raises FormatError."""
        self._spend(word)
        return "".join(self.variables.get(text, f"${{{text}}}") if is_name else text for text, is_name in word.pieces)

    def _spend(self, word: Word) -> None:
        self.expanded.add(sum(len(self.variables.get(text, "")) for text, is_name in word.pieces if is_name))


@dataclass(slots=True)
class _Loaded:
    """What the commands of an entry have loaded."""

    kernel: str = ""
    options: str = ""
    initrds: tuple[str, ...] = ()
    undecided: str = ""
    other: str = ""
    search: GrubSearch | None = None


class _Reader:
    """Goes through the words of a script once. `default` is what it sets, None when that is not known."""

    def __init__(self, tokens: list[Word | GrubMark]) -> None:
        self._tokens = tokens
        self._place = 0
        self._functions: dict[str, frozenset[str]] = {}
        self.default: str | None = ""

    def menu(self, menus: tuple[str, ...], known: _Knowledge, depth: int) -> Iterator[GrubEntry]:
        """The entries up to the brace that closes this menu, or to the end."""
        number = 0
        for words in self._commands(known, depth):
            if not words:
                continue
            name = words[0].keyword
            if name not in _ENTRIES:
                self._take(words, known, None)
                if (not menus and name in ("set", "default")) or "=" in name:
                    self._note_default(words, known)
                continue
            self._expect(GrubMark.OPEN, name)
            title, identifier = _heading(words, known)
            known.expanded.add(sum(map(len, menus)) + len(title))
            inner = known.copy()
            if name == "submenu":
                found = tuple(self.menu((*menus, title), inner, depth + 1))
            else:
                found = (self._entry(GrubEntry(title, identifier, menus, number), inner, depth),)
            number += 1
            yield from found

    def _entry(self, entry: GrubEntry, known: _Knowledge, depth: int) -> GrubEntry:
        """The entry whose body begins here."""
        loaded = _Loaded()
        outside = f"it stands in {known.inside[-1]}" if known.inside else ""
        known.inside.clear()
        for words in self._commands(known, depth + 1):
            if words:
                self._take(words, known, loaded)
        return replace(
            entry,
            kernel=loaded.kernel,
            options=loaded.options,
            initrds=loaded.initrds,
            undecided=outside or loaded.undecided,
            optional=bool(outside),
            other=loaded.other,
            search=loaded.search,
        )

    def _commands(self, known: _Knowledge, depth: int) -> Iterator[list[Word]]:
        """Commands up to the brace that closes what they are in; a function's body is gone through by itself."""
        if depth > MAX_DEPTH:
            found = f"more than {MAX_DEPTH}"
            raise _fault("the blocks of the script are too deep in each other", found, f"at most {MAX_DEPTH}")
        level = len(known.inside)
        while self._place < len(self._tokens):
            words = self._command()
            while words and words[0].keyword in _AGAIN:
                words = words[1:]
            name = words[0].keyword if words else ""
            if name in _BEGINS:
                known.inside.append(name)
                if name != "for":
                    yield words[1:]
                elif len(words) > 1:
                    known.variables.pop(words[1].keyword, None)
                continue
            if name in _BEGINS.values():
                if len(known.inside) > level and _BEGINS.get(known.inside[-1]) == name:
                    known.inside.pop()
                continue
            if name == "function":
                self._function(words, known, depth)
                continue
            if words:
                yield words
            if self._place < len(self._tokens) and self._tokens[self._place] is GrubMark.CLOSE:
                self._place += 1
                return
            if self._place < len(self._tokens) and self._tokens[self._place] is GrubMark.OPEN:
                # A group of commands, or the block of a command that is not known.
                self._place += 1
                known.inside.append("a block")
                yield from self._commands(known, depth + 1)
                known.inside.pop()
        if depth:
            raise _fault("a block of the script has no end", "the end of the file", "}")

    def _command(self) -> list[Word]:
        """The words up to a mark, which is taken when it ends the command."""
        words: list[Word] = []
        while self._place < len(self._tokens):
            token = self._tokens[self._place]
            if isinstance(token, Word):
                words.append(token)
            elif token is not GrubMark.END:
                break
            self._place += 1
            if token is GrubMark.END:
                break
        return words

    def _function(self, words: list[Word], known: _Knowledge, depth: int) -> None:
        """What a function may do, when it is called: the names of its commands and of what it sets."""
        self._expect(GrubMark.OPEN, "function")
        inner = _Knowledge({})
        does: set[str] = set()
        for command in self._commands(inner, depth + 1):
            name = command[0].keyword if command else ""
            if name in _ENTRIES and self._place < len(self._tokens) and self._tokens[self._place] is GrubMark.OPEN:
                does.add("menuentry")
            does |= {name, *(f"{each}=" for each, _ in _assignments(command))}
            does |= self._functions.get(name, frozenset())
        if len(words) > 1:
            self._functions[words[1].keyword] = frozenset(does)

    def _expect(self, mark: GrubMark, after: str) -> None:
        if self._place >= len(self._tokens) or self._tokens[self._place] is not mark:
            raise _fault(f"{after} has no block", "something else", mark.value)
        self._place += 1

    def _take(self, words: list[Word], known: _Knowledge, loaded: _Loaded | None) -> None:
        """What a command does to what is known, and to the entry that it is in."""
        name = words[0].keyword
        if name in self._functions:
            self._call(name, known, loaded)
        search = _search(words, known)
        if search is not None:
            known.search = search
        elif name in _FINDS:
            known.doubt = known.doubt or f"{name} decides on which device its files are"
        if name in _READS:
            known.doubt = known.doubt or f"{name} reads other commands"
        for variable, word in _assignments(words):
            value = None
            if variable == _ROOT and search is None:
                known.doubt = known.doubt or "the script sets root, the device of its files"
            elif word is not None and not known.inside:
                with suppress(KeyError):
                    value = known.value(word)
            known.variables.pop(variable, None)
            if value is not None:
                known.variables[variable] = value
        if loaded is None:
            return
        if name in _LINUX or name in _INITRD:
            self._load(words, known, loaded)
        elif name in _OTHERS:
            loaded.other = loaded.other or f"{name} boots something else than a Linux"
        elif name in _READS:
            loaded.undecided = loaded.undecided or f"{name} reads other commands"

    def _call(self, name: str, known: _Knowledge, loaded: _Loaded | None) -> None:
        does = self._functions[name]
        for each in does:
            if each.endswith("="):
                known.variables.pop(each[:-1], None)
        if does & (_FINDS | _READS) or f"{_ROOT}=" in does:
            known.doubt = known.doubt or f"the function {name} decides on which device its files are"
        if loaded is not None and does & (_LINUX | _INITRD | _OTHERS):
            loaded.undecided = loaded.undecided or f"the function {name} loads what is booted"

    @staticmethod
    def _load(words: list[Word], known: _Knowledge, loaded: _Loaded) -> None:
        """A kernel, or initrds."""
        name = words[0].keyword
        try:
            arguments = [known.value(word) for word in words[1:]]
        except KeyError as missing:
            variable = f"{name} has the variable {missing.args[0]}, which only a run would know"
            loaded.undecided = loaded.undecided or variable
            return
        files = arguments[:1] if name in _LINUX else [each for each in arguments if not each.startswith("--")]
        if known.inside:
            loaded.undecided = loaded.undecided or f"{name} stands in {known.inside[-1]}"
        elif known.doubt:
            loaded.undecided = loaded.undecided or known.doubt
        elif any(not each.startswith("/") for each in files):
            loaded.undecided = loaded.undecided or f"{name} names a device, or a file in another way: {brief(files)}"
        loaded.search = known.search
        if name in _LINUX:
            loaded.kernel = files[0] if files else ""
            loaded.options = " ".join(map(_quoted, arguments[1:]))
        else:
            loaded.initrds = tuple(files)

    def _note_default(self, words: list[Word], known: _Knowledge) -> None:
        for variable, word in _assignments(words):
            if variable == "default":
                plain = word is not None and not known.inside and variable in known.variables
                self.default = known.variables[variable] if plain else None


def _search(words: list[Word], known: _Knowledge) -> GrubSearch | None:
    """What a search sets root to, when that is said plainly."""
    if words[0].keyword != "search" or known.inside:
        return None
    try:
        arguments = [known.value(word) for word in words[1:]]
    except KeyError:
        return None
    kinds = [_SEARCHES[each] for each in arguments if each in _SEARCHES]
    values = [each for each in arguments if not each.startswith("-")]
    sets = [each for each in arguments if each in ("-s", "--set", f"--set={_ROOT}")]
    others = [each for each in arguments if each.startswith("-") and each not in (*_SEARCHES, *sets, *_HARMLESS)]
    if len(kinds) != 1 or len(values) != 1 or not sets or any(not each.startswith("--hint") for each in others):
        return None
    return GrubSearch(kinds[0], values[0])


def _assignments(words: Sequence[Word]) -> Iterator[tuple[str, Word | None]]:
    """The variables that a command sets, each with its value; None for one that is taken away, or read."""
    if not words:
        return
    name = words[0].keyword
    if name in ("unset", "read"):
        yield from ((word.keyword, None) for word in words[1:])
        return
    if name.startswith("--") or name in _LINUX:
        return
    for word in words[1:2] if name == "set" else words[:1]:
        text, is_name = word.pieces[0] if word.pieces else ("", True)
        variable, equals, rest = text.partition("=")
        if not is_name and equals and variable.isidentifier():
            yield variable, Word(((rest, False), *word.pieces[1:]) if rest else word.pieces[1:], word.quoted)
    if name in _FINDS:
        yield from ((each.keyword.partition("=")[2], None) for each in words if each.keyword.startswith("--set="))


def _heading(words: list[Word], known: _Knowledge) -> tuple[str, str]:
    """Title and identifier of an entry."""
    title: str | None = None
    identifier = ""
    values = iter(words[1:])
    for word in values:
        option, equals, value = word.keyword.partition("=")
        if option in _WITH_VALUE:
            following = None if equals else next(values, None)
            if option == "--id":
                identifier = value if equals else "" if following is None else known.shown(following)
        elif title is None and not word.keyword.startswith("--"):
            title = known.shown(word)
    return title or "", identifier


def _quoted(word: str) -> str:
    """A word of the kernel's options as GRUB passes it on: grub-core/lib/cmdline.c."""
    escaped = "".join(f"\\{each}" if each in "\\'\"" else each for each in word)
    return f'"{escaped}"' if " " in word else escaped


def _fault(what: str, found: str, expected: str) -> FormatError:
    return FormatError(what, where="grub.cfg", found=found, expected=expected)
