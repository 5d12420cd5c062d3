"""Each compression gives what was packed, no more than is asked for, and FormatError for damage."""

from __future__ import annotations

import lzma
import sys
import zlib
from collections.abc import Callable
from random import Random

import pytest
import zstandard

from bootpath.core.errors import Error, FormatError
from bootpath.core.extras import NotInstalledError
from bootpath.fs.readers.codecs import Codec, decompress

BOMB_BYTES = 4 << 20


def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def _micro_lzma(data: bytes) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 2, "dict_size": 1 << 20}]
    raw = lzma.compress(data, lzma.FORMAT_RAW, filters=filters)
    assert raw[0] == 0
    return bytes([~(2 * 45 + 0 * 9 + 3) & 0xFF]) + raw[1:]


PACK: dict[Codec, Callable[[bytes], bytes]] = {
    Codec.ZLIB: zlib.compress,
    Codec.DEFLATE: _deflate,
    Codec.XZ: lzma.compress,
    Codec.MICRO_LZMA: _micro_lzma,
    Codec.ZSTD: zstandard.compress,
}
CODECS = pytest.mark.parametrize("codec", PACK)


@CODECS
def test_what_was_packed(codec: Codec) -> None:
    data = Random(1).randbytes(1000) + b"text " * 1000
    packed = PACK[codec](data)
    assert decompress(codec, packed, len(data)) == data
    assert decompress(codec, packed, 1234) == data[:1234]
    if codec is not Codec.MICRO_LZMA:  # which has no end
        assert decompress(codec, packed, len(data) + 1) == data


@CODECS
def test_a_bomb(codec: Codec) -> None:
    packed = PACK[codec](bytes(BOMB_BYTES))
    assert decompress(codec, packed, 8192) == bytes(8192)


@pytest.mark.parametrize("codec", Codec)
def test_damage(codec: Codec) -> None:
    """Noise is refused, or is something short."""
    random = Random(2)
    refused = 0
    for _ in range(200):
        try:
            output = decompress(codec, random.randbytes(random.randrange(60)), 500)
        except FormatError:
            refused += 1
        else:
            assert len(output) <= 500
    assert refused > 20


def test_properties_of_micro_lzma() -> None:
    with pytest.raises(FormatError, match="lzma: corrupt: the properties are not valid; expected at most 224"):
        decompress(Codec.MICRO_LZMA, bytes([~225 & 0xFF]) + bytes(50), 10)
    with pytest.raises(FormatError, match="properties"):
        decompress(Codec.MICRO_LZMA, b"", 10)


def test_zstd_that_wants_memory() -> None:
    """A frame header with a window of 1 GiB."""
    with pytest.raises(FormatError, match="corrupt"):
        decompress(Codec.ZSTD, bytes.fromhex("28b52ffd00a0") + bytes(20), 100)


def test_zstd_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(NotInstalledError, match="needs zstandard, which is not installed") as caught:
        decompress(Codec.ZSTD, b"", 1)
    assert caught.value.hint == "pip install 'bootpath[zstd]'"
    assert not isinstance(caught.value, Error)  # which would be a verdict
