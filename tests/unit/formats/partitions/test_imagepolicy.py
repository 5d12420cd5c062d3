from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.core.errors import FormatError
from bootpath.core.reasons import Explanation
from bootpath.formats.partitions.dps import FLAG_GROWFS, FLAG_READ_ONLY, Designator
from bootpath.formats.partitions.imagepolicy import (
    IGNORE,
    OPEN,
    ImagePolicy,
    Judgement,
    PolicyFlag,
    PolicyReason,
    Protection,
    pack_image_policy,
    parse_image_policy,
)

POLICY_PARTITIONS = [d for d in Designator if d not in (Designator.USER_HOME, Designator.LINUX_GENERIC)]
FLAGS = st.sets(st.sampled_from(list(PolicyFlag))).map(lambda flags: PolicyFlag(sum(flag.value for flag in flags)))


def same(first: str, second: str) -> bool:
    """True when two policies come to the same for every partition."""
    ours, theirs = parse_image_policy(first), parse_image_policy(second)
    return all(ours.flags(designator) == theirs.flags(designator) for designator in Designator)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        # The manual's own equivalences.
        ("*", "=verity+signed+encrypted+unprotected+unused+absent"),
        ("-", "=unused+absent"),
        ("~", "=absent"),
        ("", "-"),
        ("=open", "*"),
        ("=ignore", "-"),
        ("=", "*"),
        ("=-", "*"),
        ("root=ignore:=ignore", "-"),
        ("swap=", "swap=open"),
        ("root=verity+read-only-on+read-only-off", "root=verity"),
        (" root = verity + signed : = absent ", "root=verity+signed:=absent"),
    ],
)
def test_short_forms(short: str, long: str) -> None:
    assert same(short, long)


def test_without_a_default_the_rest_is_ignored() -> None:
    policy = parse_image_policy("usr=verity+read-only-on:root=encrypted:swap=encrypted")
    assert policy.flags(Designator.HOME) & OPEN == IGNORE
    assert policy.flags(Designator.USR) & OPEN == PolicyFlag.VERITY


@pytest.mark.parametrize(
    ("text", "designator", "expected"),
    [
        ("root=verity", Designator.ROOT_VERITY, PolicyFlag.UNPROTECTED),
        ("root=verity+absent", Designator.ROOT_VERITY, PolicyFlag.UNPROTECTED | PolicyFlag.ABSENT),
        ("root=verity", Designator.ROOT_VERITY_SIG, IGNORE),
        ("root=signed", Designator.ROOT_VERITY_SIG, PolicyFlag.UNPROTECTED),
        ("root=signed", Designator.USR_VERITY, IGNORE),
        ("root=encrypted", Designator.ROOT_VERITY, IGNORE),
        ("root=signed:root-verity=absent", Designator.ROOT_VERITY, PolicyFlag.ABSENT),
        # What makes no sense for a partition is taken away.
        ("=verity+unprotected", Designator.HOME, PolicyFlag.UNPROTECTED),
        ("=encrypted+absent", Designator.ROOT_VERITY, PolicyFlag.ABSENT),
    ],
)
def test_what_protects_follows_what_is_protected(text: str, designator: Designator, expected: PolicyFlag) -> None:
    assert parse_image_policy(text).flags(designator) & OPEN == expected


SIGNED, VERITY, ENCRYPTED, UNPROTECTED = Protection


def requires(what: str, found: Protection) -> Explanation[PolicyReason]:
    return PolicyReason.POLICY_REQUIRES_PROTECTION("root", what, found.value)


@pytest.mark.parametrize(
    ("text", "protection", "expected"),
    [
        ("root=signed", SIGNED, SIGNED),
        ("root=verity", SIGNED, VERITY),  # "the signature data will not be used"
        ("root=unprotected", SIGNED, UNPROTECTED),
        ("root=verity+signed", SIGNED, SIGNED),
        ("root=signed", VERITY, requires("signed", VERITY)),
        ("root=verity+signed", UNPROTECTED, requires("signed or verity", UNPROTECTED)),
        ("root=encrypted", ENCRYPTED, ENCRYPTED),
        ("root=unprotected", ENCRYPTED, requires("unprotected", ENCRYPTED)),
        ("root=verity+signed", ENCRYPTED, requires("signed or verity", ENCRYPTED)),
        ("root=encrypted+unused", UNPROTECTED, None),
        ("root=absent", SIGNED, PolicyReason.POLICY_FORBIDS_PARTITION("root")),
        ("usr=signed", UNPROTECTED, None),
        ("~", UNPROTECTED, PolicyReason.POLICY_FORBIDS_PARTITION("root")),
        ("*", UNPROTECTED, UNPROTECTED),
    ],
)
def test_judging(text: str, protection: Protection, expected: Protection | Explanation[PolicyReason] | None) -> None:
    found = parse_image_policy(text).judge(Designator.ROOT, protection)
    assert found == (Judgement(None, expected) if isinstance(expected, Explanation) else Judgement(expected))


@pytest.mark.parametrize(
    ("text", "gpt_flags", "allowed"),
    [
        ("root=open+read-only-on", FLAG_READ_ONLY, True),
        ("root=open+read-only-on", 0, False),
        ("root=open+read-only-off", FLAG_READ_ONLY, False),
        ("root=growfs-on", FLAG_GROWFS, True),
        ("root=growfs-on", 0, False),
        ("root=growfs-off+growfs-on", 0, True),
        ("root=open+read-only-on", FLAG_GROWFS, False),
    ],
)
def test_flags_of_the_table(text: str, gpt_flags: int, allowed: bool) -> None:
    found = parse_image_policy(text).judge(Designator.ROOT, Protection.UNPROTECTED, gpt_flags=gpt_flags)
    assert (found.refused is None) is allowed


def test_file_systems() -> None:
    policy = parse_image_policy("root=open+erofs+squashfs")
    assert policy.judge(Designator.ROOT, UNPROTECTED, file_system="erofs").refused is None
    refused = policy.judge(Designator.ROOT, UNPROTECTED, file_system="ext4").refused
    assert refused == PolicyReason.POLICY_REQUIRES_FILE_SYSTEM("erofs or squashfs", "ext4")


def test_absence() -> None:
    policy = parse_image_policy("root=verity:usr=verity+absent")
    assert not policy.may_be_absent(Designator.ROOT)
    assert policy.may_be_absent(Designator.USR)
    assert policy.may_be_absent(Designator.HOME)


@pytest.mark.parametrize(
    "text",
    [
        "pfft",
        "öäüß",
        ":",
        "a=",
        "=a",
        "==",
        "root=verity:root=encrypted",
        "=open:=absent",
        "root=grbl",
        "wowza=verity",
        "root=verity:",
        ":root=verity",
        "root=verity+",
        "root=Verity",
        "user-home=open",
        "**",
        "root=" + "verity+" * 1000 + "verity",
    ],
)
def test_what_is_no_policy(text: str) -> None:
    with pytest.raises(FormatError):
        parse_image_policy(text)


@given(st.dictionaries(st.sampled_from(POLICY_PARTITIONS), FLAGS), FLAGS)
def test_pack_and_parse(rules: dict[Designator, PolicyFlag], default: PolicyFlag) -> None:
    policy = ImagePolicy(rules, default)
    assert parse_image_policy(pack_image_policy(policy)) == policy
