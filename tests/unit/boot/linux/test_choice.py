from __future__ import annotations

import pytest

from bootpath.boot.linux.choice import HASHED_POLICY, LinuxRequest, may_use
from bootpath.formats.partitions.dps import Designator
from bootpath.formats.partitions.imagepolicy import Protection, parse_image_policy
from bootpath.image.entries.menu import VolumeRole


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        (LinuxRequest(), True),
        (LinuxRequest(certificates=(b"",)), True),
        (LinuxRequest(certificates=(b"",), policy=parse_image_policy("root=signed:esp=unprotected:=ignore")), True),
        (LinuxRequest(policy=parse_image_policy("root=signed:=ignore")), False),
    ],
)
def test_boot_partitions_count_only_where_the_policy_lets_them(request_: LinuxRequest, allowed: bool) -> None:
    assert may_use(request_, VolumeRole.ESP) is allowed


def test_what_is_trusted_makes_the_policy() -> None:
    assert LinuxRequest(certificates=(b"",)).strict
    assert LinuxRequest(root_hash=bytes(32)).strict
    assert not LinuxRequest().strict
    assert not LinuxRequest(certificates=(b"",), policy=parse_image_policy("*")).strict
    signed = LinuxRequest(certificates=(b"",)).boot_policy
    assert signed.judge(Designator.ROOT, Protection.VERITY).protection is None
    hashed = LinuxRequest(root_hash=bytes(32)).boot_policy
    assert hashed == parse_image_policy(HASHED_POLICY)
    assert hashed.judge(Designator.ROOT, Protection.VERITY).protection is Protection.VERITY
    assert hashed.judge(Designator.ROOT, Protection.UNPROTECTED).refused is not None
    assert LinuxRequest().boot_policy.judge(Designator.ROOT, Protection.UNPROTECTED).protection is not None
