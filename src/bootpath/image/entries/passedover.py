"""What boot entries and menus say in vain: words that no loader knows, and keys that do not do what they seem to.

Distributions write keys of their own into every entry (grub_users, id), so a warning at each would hide the others:
words are said once for all files of a menu.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from reprlib import repr as brief

from bootpath.formats.entries.bls import BlsEntry
from bootpath.formats.entries.entry import BootEntry
from bootpath.formats.systemdboot.loaderconf import BYTE_ORDER_MARK

MAX_SHOWN = 8
_VARIABLE = re.compile(r"\$(?:[A-Za-z_]\w*|\{\w+\})")


@dataclass(slots=True)
class PassedOver:
    """How many files have each word."""

    keys: Counter[str] = field(default_factory=Counter)
    keywords: Counter[str] = field(default_factory=Counter)

    def note_keys(self, words: Iterable[str]) -> None:
        """The words of a file of type 1."""
        self.keys.update(set(words))

    def note_keywords(self, words: Iterable[str]) -> None:
        """The words of an extlinux.conf."""
        self.keywords.update(set(words))

    def warnings(self) -> Iterator[str]:
        """A sentence for each kind of file."""
        for what, counted in (("keys of boot entries", self.keys), ("keywords of menus", self.keywords)):
            words = sorted(word for word in counted if not word.startswith(BYTE_ORDER_MARK))
            shown = [_brief(word) + (f" (in {counted[word]} files)" if counted[word] > 1 else "") for word in words]
            if len(shown) > MAX_SHOWN:
                shown = [*shown[:MAX_SHOWN], f"and {len(words) - MAX_SHOWN} others"]
            if shown:
                yield f"{what} that are not known are passed over: {', '.join(shown)}"


def _brief(word: str) -> str:
    return word if word.isascii() and word.isprintable() and len(word) <= 30 else brief(word)


def key_warnings(bls: BlsEntry) -> Iterator[str]:
    """Warnings of keys that do not do what they seem to."""
    if bls.marked_key:
        yield f"the file begins with a byte order mark, so its first key, {bls.marked_key}, is not known"
    # "This should only be used when `uki` or `uki-url` is set to a multi-profile UKI."
    if bls.profile is not None and not bls.uki:
        yield "profile is passed over: it is for an entry with uki"
    yield from (
        f"the profile {value!r} is passed over: it is no number" for key, value in bls.unknown if key == "profile"
    )


def unexpanded_variables(entry: BootEntry) -> Iterator[str]:
    """Warnings of variables in the options: GRUB and U-Boot put their values there, the specification knows none."""
    for variable in dict.fromkeys(_VARIABLE.findall(entry.options or "")):
        yield f"the options have {variable}, which the kernel gets as it is: only GRUB or U-Boot would replace it"
