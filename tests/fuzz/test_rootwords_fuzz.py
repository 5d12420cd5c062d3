"""The words of the command line: a value or FormatError, and a value can be packed and parsed again."""

from __future__ import annotations

from bootpath.boot.rootwords import pack_root_words, parse_root_words
from bootpath.core import FormatError
from tests.fuzz.mutation import mutations

HASH = bytes(range(32)).hex()
SAMPLES = [
    b"root=PARTUUID=0fc63daf-8483-4772-8e79-3d69d8477de4 ro rootwait quiet",
    b'root=LABEL="my root" rootflags=noatime rootfstype=ext4,xfs rootdelay=5 init=/bin/sh -- root=x',
    f"roothash={HASH} systemd.verity_root_data=/dev/vda1 systemd.verity_root_options=hash-offset=4096".encode(),
    b"bootpath.lv=PBcCoW-3nMh-bxAi-F2Sl-As4J-0Shv-rL03fk/dCjLNb-92cp-wDlj-obHQ-RPgV-ZrvR-rRWr8d rd.lvm.lv=a/b",
    b"bootpath.ubi=0:root bootpath.onfail=shell",
    b"root=/dev/vda bootpath.slot=0fc63daf-8483-4772-8e79-3d69d8477de4:1:2048",
]


def test_mutants() -> None:
    good = 0
    for data in mutations(SAMPLES, seed=1, count=6000):
        try:
            words = parse_root_words(data.decode("utf-8", "surrogateescape"))
        except FormatError as error:
            str(error).encode()
            continue
        assert parse_root_words(pack_root_words(words)) == words
        good += 1
    assert good > 100
