"""Words in boot entries and menus that no loader knows: said once for all files of a menu.

Distributions write keys of their own into every entry (grub_users, id), so a warning at each would hide the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from reprlib import repr as brief

from bootpath.formats.entries.bls import BYTE_ORDER_MARK

MAX_SHOWN = 8


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
