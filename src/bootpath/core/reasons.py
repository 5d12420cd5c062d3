"""Reasons as values: why something is refused, excluded or skipped.

A kind of reason is a member of an Enum (a subclass of `Reason`), whose text has a ``{}`` for each detail. A member
called with its details is an `Explanation`, which is what others hold and show::

    class ExclusionReason(Reason):
        OLDER = "{} is older than {}"

    explanation = ExclusionReason.OLDER("os_1.0", "os_1.1")
    explanation.reason is ExclusionReason.OLDER; explanation.code == "older"; str(explanation)

Code asks for the member; only people read the text. Details may be explanations themselves: `Explanation.walk` finds
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Self, TypeVar


class Reason(Enum):
    """Base of the enumerations of reasons. Members with the same text are different members."""

    text: str

    def __new__(cls, text: str) -> Self:
        """A member; its value is its number, so that equal texts do not make it an alias."""
        member = object.__new__(cls)
        member._value_ = len(cls.__members__)
        member.text = text
        return member

    @property
    def code(self) -> str:
        """The name for programs: the member's, in lower case with hyphens."""
        return self.name.lower().replace("_", "-")

    def __call__(self, *details: object) -> Explanation[Self]:
        """The reason with its details, as many as the text has places. Raises TypeError for another number."""
        if len(details) != self.text.count("{}"):
            raise TypeError(f"{self}: {len(details)} details for {self.text!r}")
        return Explanation(self, tuple(each if isinstance(each, Explanation) else str(each) for each in details))


ReasonT = TypeVar("ReasonT", bound=Reason, covariant=True)


@dataclass(frozen=True, slots=True)
class Explanation(Generic[ReasonT]):
    """A reason with its details, as a value; `str` is the sentence."""

    reason: ReasonT
    details: tuple[str | Explanation[Reason], ...] = ()

    def __str__(self) -> str:
        return self.reason.text.format(*self.details)

    @property
    def code(self) -> str:
        """The reason's name for programs."""
        return self.reason.code

    def walk(self) -> Iterator[Explanation[Reason]]:
        """This explanation and those among its details."""
        yield self
        for detail in self.details:
            if isinstance(detail, Explanation):
                yield from detail.walk()
