"""What the guest imports is in every initramfs, and a machine waits for it: the list is closed."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import bootpath.boot.guest
print("\\n".join(sys.modules))
"""
# Floors that a guest needs, and of its own floor what is not the host's half.
PACKAGES = {"core", "formats", "block", "fs", "image", "serve", "boot", "_native"}
BOOT = {"guest", "protocol", "redox", "timeline"}
REDOX = {"drivers", "lived", "memory", "rootfs"}
# Of the standard library, what costs much and a guest has no use for.
REFUSED = {"argparse", "asyncio", "concurrent", "email", "http", "multiprocessing", "sqlite3", "ssl", "unittest", "xml"}
# Beside the standard library there is nothing.
FOREIGN = {"PIL", "elftools", "obstore", "qemu", "rich", "shtab", "zstandard"}


def closure() -> set[str]:
    done = subprocess.run([sys.executable, "-I", "-c", PROGRAM], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_closure_is_what_is_listed() -> None:
    modules = closure()
    parts = [name.split(".") for name in modules if name.startswith("bootpath.")]
    assert {part[1] for part in parts} == PACKAGES
    assert {part[2] for part in parts if part[1] == "boot" and len(part) > 2} == BOOT
    assert {part[3] for part in parts if part[1:3] == ["boot", "redox"] and len(part) > 3} == REDOX
    tops = {name.partition(".")[0] for name in modules}
    assert not tops & REFUSED
    assert not tops & FOREIGN
    assert "bootpath.block.leaves.nbdclient" not in modules
    assert "encodings.utf_16_le" in modules, "a codec is looked up by name when it is used, and would not be there"
