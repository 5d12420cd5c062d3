"""Image policies: which partitions of a disk image may be used, and how well they must be protected.

Source: systemd.image-policy(7). ::

    policy ::= "" | "-" | "*" | "~" | rule [":" rule]…
    rule   ::= [partition] "=" [flag ["+" flag]… | "-"]

A rule without a partition sets the default. The flags come in four groups; a group of which a rule names none means
all of it, but for the file systems, where it means any:

    use          unprotected verity signed encrypted unused absent
                 (open: all of them; ignore: unused+absent)
    read-only    read-only-on read-only-off
    growfs       growfs-on growfs-off
    file system  btrfs erofs ext4 f2fs squashfs vfat xfs

Without a default it is unused+absent. A verity or signature partition without a rule has that of the data it protects:
to be there is enough, and to be absent or unused where the data may be.

A policy says what to refuse, it does not choose: `ImagePolicy.judge` says what to do with one partition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, Flag, auto
from reprlib import repr as brief

from bootpath.core.errors import FormatError
from bootpath.core.reasons import Explanation, Reason
from bootpath.formats.partitions.dps import FLAG_GROWFS, FLAG_READ_ONLY, Designator

POLICY_SPEC = "systemd.image-policy(7)"
MAX_POLICY_CHARACTERS = 4096


class PolicyFlag(Flag):
    """What a rule allows."""

    VERITY = auto()
    SIGNED = auto()
    ENCRYPTED = auto()
    UNPROTECTED = auto()
    UNUSED = auto()
    ABSENT = auto()
    READ_ONLY_ON = auto()
    READ_ONLY_OFF = auto()
    GROWFS_ON = auto()
    GROWFS_OFF = auto()
    BTRFS = auto()
    EROFS = auto()
    EXT4 = auto()
    F2FS = auto()
    SQUASHFS = auto()
    VFAT = auto()
    XFS = auto()


_NONE = PolicyFlag(0)
_PROTECTED = PolicyFlag.VERITY | PolicyFlag.SIGNED
_USED = _PROTECTED | PolicyFlag.ENCRYPTED | PolicyFlag.UNPROTECTED
IGNORE = PolicyFlag.UNUSED | PolicyFlag.ABSENT
OPEN = _USED | IGNORE
_READ_ONLY = PolicyFlag.READ_ONLY_ON | PolicyFlag.READ_ONLY_OFF
_GROWFS = PolicyFlag.GROWFS_ON | PolicyFlag.GROWFS_OFF
_FILE_SYSTEMS = (
    PolicyFlag.BTRFS
    | PolicyFlag.EROFS
    | PolicyFlag.EXT4
    | PolicyFlag.F2FS
    | PolicyFlag.SQUASHFS
    | PolicyFlag.VFAT
    | PolicyFlag.XFS
)

_NAMES: Mapping[PolicyFlag, str] = {flag: str(flag.name).lower().replace("_", "-") for flag in PolicyFlag}
_FLAGS: Mapping[str, PolicyFlag] = {**{name: flag for flag, name in _NAMES.items()}, "open": OPEN, "ignore": IGNORE}
_SYMBOLS = {"": IGNORE, "-": IGNORE, "*": OPEN, "~": PolicyFlag.ABSENT}
_PARTITIONS: Mapping[str, Designator] = {
    designator.value: designator
    for designator in Designator
    if designator not in (Designator.USER_HOME, Designator.LINUX_GENERIC)
}


class Protection(Enum):
    """How the content of a partition is protected, the strongest first."""

    SIGNED = "signed"
    VERITY = "verity"
    ENCRYPTED = "encrypted"
    UNPROTECTED = "unprotected"


_PROTECTION_FLAGS = {
    # "any DDI with a set of partitions that qualify for signature also implicitly qualifies for verity, and in fact
    # also unprotected"
    Protection.SIGNED: (Protection.SIGNED, Protection.VERITY, Protection.UNPROTECTED),
    Protection.VERITY: (Protection.VERITY, Protection.UNPROTECTED),
    Protection.ENCRYPTED: (Protection.ENCRYPTED,),
    Protection.UNPROTECTED: (Protection.UNPROTECTED,),
}


class PolicyReason(Reason):
    """Why a policy refuses an image because of one of its partitions."""

    POLICY_FORBIDS_PARTITION = "the policy allows no {} partition"
    POLICY_REQUIRES_PROTECTION = "the policy requires {} to be {}, and this is {}"
    POLICY_FORBIDS_FLAG = "the policy does not allow the flag {} to be {}"
    POLICY_REQUIRES_FILE_SYSTEM = "the policy requires {}, and this is {}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a policy says of a partition: use it with this `protection`, or leave it alone (None), or `refused` why."""

    protection: Protection | None
    refused: Explanation[PolicyReason] | None = None


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """A policy as it was written; `flags` says what follows from it."""

    rules: Mapping[Designator, PolicyFlag]
    default: PolicyFlag = IGNORE

    def flags(self, designator: Designator) -> PolicyFlag:
        """Everything that is allowed for a partition, with each group filled in."""
        written = self.rules.get(designator)
        if written is not None:
            return _normalized(written, designator)
        if designator.data is not designator:
            data = self.flags(designator.data)
            needed = _PROTECTED if designator is designator.data.hashes else PolicyFlag.SIGNED
            # "the policy is automatically derived from minimal protection level of the data partition they protect"
            if designator.data in self.rules and data & needed:
                kept = data & (IGNORE | _READ_ONLY | _GROWFS)
                return _normalized(PolicyFlag.UNPROTECTED | kept, designator)
        return _normalized(self.default, designator)

    def judge(
        self, designator: Designator, protection: Protection, *, gpt_flags: int = 0, file_system: str | None = None
    ) -> Judgement:
        """What to do with a partition that is there and can be used with `protection`, or less."""
        allowed = self.flags(designator)
        if allowed & OPEN == PolicyFlag.ABSENT:
            return Judgement(None, PolicyReason.POLICY_FORBIDS_PARTITION(designator.value))
        usable = next((level for level in _PROTECTION_FLAGS[protection] if allowed & PolicyFlag[level.name]), None)
        if usable is None:
            if allowed & PolicyFlag.UNUSED:
                return Judgement(None)
            wanted = " or ".join(level.value for level in Protection if allowed & PolicyFlag[level.name])
            refused = PolicyReason.POLICY_REQUIRES_PROTECTION(designator.value, wanted or "absent", protection.value)
            return Judgement(None, refused)
        for bit, name in ((FLAG_READ_ONLY, "READ_ONLY"), (FLAG_GROWFS, "GROWFS")):
            state = "ON" if gpt_flags & bit else "OFF"
            if not allowed & PolicyFlag[f"{name}_{state}"]:
                flag = name.lower().replace("_", "-")
                return Judgement(None, PolicyReason.POLICY_FORBIDS_FLAG(flag, state.lower()))
        systems = allowed & _FILE_SYSTEMS
        if systems and file_system is not None and file_system not in {_NAMES[flag] for flag in systems}:
            names = " or ".join(_NAMES[flag] for flag in systems)
            return Judgement(None, PolicyReason.POLICY_REQUIRES_FILE_SYSTEM(names, file_system))
        return Judgement(usable)

    def may_be_absent(self, designator: Designator) -> bool:
        """True when an image without this partition is allowed."""
        return bool(self.flags(designator) & PolicyFlag.ABSENT)


def parse_image_policy(text: str) -> ImagePolicy:
    """The policy in a string. Raises FormatError."""
    if len(text) > MAX_POLICY_CHARACTERS:
        raise _fault("the policy is too long", f"{len(text)} characters", f"at most {MAX_POLICY_CHARACTERS}")
    if text in _SYMBOLS:
        return ImagePolicy({}, _SYMBOLS[text])
    rules: dict[Designator, PolicyFlag] = {}
    default: PolicyFlag | None = None
    for rule in text.split(":"):
        name, separator, words = (part.strip() for part in rule.partition("="))
        if not separator:
            raise _fault("a rule has the wrong form", brief(rule), "partition=flag+flag…")
        flags = _parse_flags(words)
        if not name:
            if default is not None:
                raise _fault("the default is set twice", "two rules", "one rule")
            default = flags
            continue
        designator = _PARTITIONS.get(name)
        if designator is None:
            raise _fault("a partition is unknown", brief(name), "one of " + " ".join(_PARTITIONS))
        if designator in rules:
            raise _fault(f"{name} has more than one rule", "two rules", "one rule")
        rules[designator] = flags
    return ImagePolicy(rules, IGNORE if default is None else default)


def pack_image_policy(policy: ImagePolicy) -> str:
    """The policy as text, every flag spelled out. parse_image_policy gives it back."""
    rules = [f"{designator.value}={_pack_flags(flags)}" for designator, flags in policy.rules.items()]
    return ":".join([*rules, f"={_pack_flags(policy.default)}"])


def _parse_flags(text: str) -> PolicyFlag:
    flags = _NONE
    if text in ("", "-"):
        return flags
    for word in text.split("+"):
        flag = _FLAGS.get(word.strip())
        if flag is None:
            raise _fault("a flag is unknown", brief(word), "one of " + " ".join(_FLAGS))
        flags |= flag
    return flags


def _pack_flags(flags: PolicyFlag) -> str:
    return "+".join(_NAMES[flag] for flag in flags) or "-"


def _normalized(flags: PolicyFlag, designator: Designator) -> PolicyFlag:
    """Every group filled in, and what makes no sense for the partition taken away."""
    for group in (OPEN, _READ_ONLY, _GROWFS):
        # "if none of the flags above are set for a listed partition identifier, the default policy of open is implied"
        if not flags & group:
            flags |= group
    if designator.data is not designator:
        flags &= ~PolicyFlag.ENCRYPTED
    if designator.hashes is None:
        flags &= ~_PROTECTED
    if flags & OPEN == PolicyFlag.ABSENT:
        flags &= ~(_READ_ONLY | _GROWFS)
    return flags


def _fault(what: str, found: object, expected: object) -> FormatError:
    return FormatError(what, where="image policy", found=found, expected=expected, spec=POLICY_SPEC)
