from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from bootpath.core.errors import Error
from bootpath.image.sparsecopy import copy_sparse

PIECE = 64 << 10


@pytest.mark.parametrize("seed", range(6))
def test_the_copy_is_the_same_and_zeros_are_not_written(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    content = b"".join(random.choice((bytes(PIECE), random.randbytes(PIECE))) for _ in range(24))
    content += random.randbytes(random.randrange(PIECE))
    (tmp_path / "source").write_bytes(content)
    calls: list[int] = []
    with (tmp_path / "source").open("rb") as source, (tmp_path / "target").open("w+b") as target:
        target.truncate(4096 + len(content))
        written = copy_sparse(
            source.fileno(), target.fileno(), 4096, len(content), where="source", progress=calls.append
        )
        target.seek(0)
        assert target.read() == bytes(4096) + content
    assert written == sum(
        len(content[place : place + PIECE])
        for place in range(0, len(content), PIECE)
        if any(content[place : place + PIECE])
    )
    assert calls == sorted(calls)
    assert calls[-1] == len(content)


def test_a_source_that_ends_early_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * 4096)
    with (tmp_path / "source").open("rb") as source, (tmp_path / "target").open("w+b") as target:
        target.truncate(8192)
        with pytest.raises(Error, match="the file is too short"):
            copy_sparse(source.fileno(), target.fileno(), 0, 8192, where="source")
