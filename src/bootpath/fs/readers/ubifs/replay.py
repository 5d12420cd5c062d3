"""The journal applied to the index, in memory: what a file system holds now, and not at its last commit.

Source: Linux fs/ubifs/replay.c, tnc.c and recovery.c (ubifs_recover_size). Linux applies the changes to its tree one
after the other, the oldest first. Here they are gone through once, the newest first: what is decided stays decided, a
removal hides all that is older, in the journal and in the index. So it costs the same whatever the order is.

- A truncation removes the data between two sizes; an inode without links, everything that has its number, unless the
  newest change of that inode says that it lives (a file that is linked again).
- Entries are told apart by their names, since names can have one hash. An entry of the index whose key the journal
  has too may have no node any more: its eraseblock was erased when the journal had the newer one.
- After a power cut data may be there without the inode that says how long the file has become: it is as long as the
  data, and data of an inode that never came is nobody's.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bootpath.fs.readers.ubifs.journal import Change
from bootpath.fs.readers.ubifs.nodes import BLOCK_BYTES, MAX_WORD, KeyType, NodeType, Place, make_key


class Intervals:
    """Numbers, as intervals that do not touch."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._starts, number) - 1
        return index >= 0 and number <= self._ends[index]

    def add(self, first: int, last: int) -> None:
        """The numbers from `first` to `last`, too."""
        low = bisect_left(self._ends, first - 1)
        high = bisect_right(self._starts, last + 1)
        if low < high:
            first, last = min(first, self._starts[low]), max(last, self._ends[high - 1])
        self._starts[low:high] = [first]
        self._ends[low:high] = [last]


@dataclass(slots=True)
class InodeChanges:
    """What the journal says of one inode, by the lower 32 bits of the keys; `lives`: the newest is no removal.

    `places` has the inode and its data, `names` the entries with each key, None for one that was removed. What is in
    `removed` is in the index no more. `size` is that of a file that has grown unsaid.
    """

    lives: bool
    places: dict[int, Place] = field(default_factory=dict)
    names: dict[int, dict[bytes, Place | None]] = field(default_factory=dict)
    removed: Intervals = field(default_factory=Intervals)
    size: int | None = None

    def hides(self, word: int) -> bool:
        """True when the index's node with this key does not count any more."""
        return word in self.places or word in self.removed

    def data(self, low: int, high: int) -> Iterator[tuple[int, Place]]:
        """The data with keys from `low` to `high`."""
        if high - low < len(self.places):
            return ((word, self.places[word]) for word in range(low, high + 1) if word in self.places)
        return ((word, place) for word, place in self.places.items() if low <= word <= high)


def replay(changes: Sequence[Change]) -> dict[int, InodeChanges]:
    """The changes by inode; they are in order, the oldest first."""
    inodes: dict[int, InodeChanges] = {}
    for change in reversed(changes):
        number, word = change.key >> 32, change.key & MAX_WORD
        inode = inodes.get(number)
        if inode is None:
            inode = inodes[number] = InodeChanges(change.place is not None)
        match change.type:
            case NodeType.TRUNCATION:
                first = -(-change.size // BLOCK_BYTES)
                last = (change.before - 1) // BLOCK_BYTES
                if first <= last:
                    data = make_key(0, KeyType.DATA)
                    inode.removed.add(data + first, data + last)
            case NodeType.INODE if change.place is None:
                if not inode.lives:
                    inode.removed.add(0, MAX_WORD)
            case NodeType.INODE | NodeType.DATA:
                if change.place is not None and not inode.hides(word):
                    inode.places[word] = change.place
            case NodeType.ENTRY:
                if word not in inode.removed:
                    inode.names.setdefault(word, {}).setdefault(change.name, change.place)
    return inodes


def recover_sizes(
    changes: Sequence[Change], inodes: dict[int, InodeChanges], size_of: Callable[[int], int | None]
) -> None:
    """Mend what a power cut has left of files that were growing; `size_of`: that of an inode, None where there is none.

    Raises what `size_of` does.
    """
    said: dict[int, int | None] = {}  # by the last inode in the journal
    reached: dict[int, int] = {}
    for change in changes:
        number = change.key >> 32
        match change.type:
            case NodeType.INODE if change.place is None:
                said.pop(number, None)
                reached.pop(number, None)
            case NodeType.INODE:
                said[number] = change.size
                reached.setdefault(number, 0)
            case NodeType.DATA:
                said.setdefault(number, None)
                reached[number] = max(reached.get(number, 0), change.size)
            case NodeType.TRUNCATION if number in reached:
                reached[number] = change.size
    for number, size in said.items():
        known = size_of(number) if size is None else size
        if known is None:
            inodes[number].removed.add(0, MAX_WORD)
            inodes[number].places.clear()
        elif known < reached[number]:
            inodes[number].size = reached[number]
