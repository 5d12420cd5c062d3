#!/bin/sh
# seekable.zst: zstd's seekable format, by pyzstd 0.20.0. Run it in this directory.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work"
"$work/bin/pip" install -q pyzstd==0.20.0
"$work/bin/python" - <<'END'
import pyzstd

content = b"".join(bytes([n]) * 3000 + n.to_bytes(2, "big") * 500 for n in range(10))
with pyzstd.SeekableZstdFile("seekable.zst", "w", max_frame_content_size=4096) as file:
    file.write(content)
END
