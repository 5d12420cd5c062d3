"""systemd-dissect as judge of what an image can be used as."""

from __future__ import annotations

import json
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from bootpath.block import open_device
from bootpath.fs.readers.open import open_files
from bootpath.image.contents.useas import Use, use_of
from tests.support.ddi import run
from tests.support.tools import tool

# Old versions ask for PORTABLE_MATCHES.
OS = "ID=os\nNAME=OS\nVERSION_ID=1\n"
PORTABLE = f"{OS}PORTABLE_PREFIXES=a\nPORTABLE_MATCHES=a\n"
SYSTEMD = "usr/lib/systemd/systemd"
TREES: dict[str, dict[str, str]] = {
    "system": {"etc/os-release": OS, SYSTEMD: ""},
    "sysv": {"sbin/init": ""},
    "linked": {"usr/lib/os-release": OS, SYSTEMD: "", "usr/sbin/init": "-> ../lib/systemd/systemd"},
    "absolute": {"etc/os-release": OS, "opt/first": "", "sbin/init": "-> /opt/first"},
    "dangling": {"etc/os-release": OS, "sbin/init": "-> /opt/first"},
    "data": {"share/words": "x"},
    "portable": {"usr/lib/os-release": PORTABLE, "usr/lib/systemd/system/a.service": ""},
    "sysext": {"usr/lib/extension-release.d/extension-release.sysext": "ID=os\n", "usr/bin/x": ""},
    "initrdext": {"usr/lib/extension-release.d/extension-release.initrdext": "ID=os\nSYSEXT_SCOPE=initrd\n"},
}


@pytest.mark.parametrize("kind", ["squashfs", "ext4"])
@pytest.mark.parametrize("name", TREES)
def test_as_systemd_dissects(tmp_path: Path, name: str, kind: str) -> None:
    tree, image = tmp_path / "tree", tmp_path / f"{name}.raw"
    for path, text in TREES[name].items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            (tree / path).symlink_to(text[3:])
        else:
            (tree / path).write_text(text)
            (tree / path).chmod(0o755)
    if kind == "squashfs":
        run(tool("mksquashfs"), tree, image, "-quiet", "-no-progress")
    else:
        run(tool("mke2fs"), "-q", "-t", "ext4", "-O", "^has_journal", "-d", tree, image, "2M")
    done = subprocess.run([tool("systemd-dissect"), "--json=short", image], capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        pytest.skip(f"systemd-dissect needs more than it has here: {done.stderr.strip()[:200]}")
    (theirs,) = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    with closing(open_device(str(image))) as device:
        ours = use_of(open_files(device))
    assert ours.is_root is theirs["useBootableContainer"]
    assert (Use.PORTABLE in ours.uses) is theirs["usePortableService"]
    for scope, word in (("system", ""), ("portable", "Portable"), ("initrd", "InitRD")):
        # Old versions say "extension", new ones which kind.
        names = [f"use{word or 'System'}Extension", f"use{word}SystemExtension"]
        assert (scope in ours.sysext_scopes) in [theirs[each] for each in names if each in theirs]
    said = theirs.get("osRelease")
    assert (ours.os_release or {}) == dict(row.split("=", 1) for row in said or ())
