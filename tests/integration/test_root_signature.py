"""Signatures of root hashes: OpenSSL verifies ours, we verify OpenSSL's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bootpath.core.errors import SignatureError
from bootpath.image.signatures.roothash import sign_root_hash, verify_root_hash
from tests.support.certificates import NOW, Identity, make_identity
from tests.support.tools import tool

ROOT_HASH = bytes(range(32))
IDENTITIES = {"ec": make_identity("ec", days=10000), "rsa": make_identity("rsa", kind="rsa", days=10000)}

KINDS = pytest.mark.parametrize("kind", IDENTITIES)
COMMANDS = pytest.mark.parametrize("command", ["smime", "cms"])


def openssl(*arguments: str | Path) -> bytes:
    return subprocess.run([tool("openssl"), *arguments], check=True, capture_output=True).stdout


def written(directory: Path, identity: Identity) -> tuple[Path, Path, Path]:
    """(key, certificate, root hash) as files."""
    paths = directory / "key", directory / "certificate", directory / "root"
    for path, content in zip(paths, (identity.key, identity.certificate, ROOT_HASH.hex().encode()), strict=True):
        path.write_bytes(content)
    return paths


@pytest.mark.parametrize("digest", ["sha256", "sha512"])
@KINDS
@COMMANDS
def test_openssl_verifies_ours(kind: str, command: str, digest: str, tmp_path: Path) -> None:
    identity = IDENTITIES[kind]
    _, certificate, root = written(tmp_path, identity)
    signature = tmp_path / "signature"
    signature.write_bytes(sign_root_hash(ROOT_HASH, key=identity.key, certificate=identity.certificate, digest=digest))
    # As systemd does: PKCS7_NOINTERN and PKCS7_NOVERIFY.
    said = openssl(
        *(command, "-verify", "-binary", "-inform", "der", "-in", signature, "-content", root),
        *("-certfile", certificate, "-nointern", "-noverify"),
    )
    assert said == ROOT_HASH.hex().encode()


@pytest.mark.parametrize("options", [(), ("-noattr",), ("-nocerts",), ("-noattr", "-nocerts"), ("-md", "sha384")])
@KINDS
@COMMANDS
def test_we_verify_openssl_s(kind: str, command: str, options: tuple[str, ...], tmp_path: Path) -> None:
    identity = IDENTITIES[kind]
    key, certificate, root = written(tmp_path, identity)
    signature = openssl(
        *(command, "-sign", "-binary", "-in", root, "-inkey", key, "-signer", certificate, "-outform", "der"),
        *options,
    )
    assert verify_root_hash(signature, ROOT_HASH, [identity.certificate], now=NOW).subject == f"CN={kind}"
    with pytest.raises(SignatureError, match="root hash"):
        verify_root_hash(signature, ROOT_HASH[::-1], [identity.certificate], now=NOW)


def test_ours_is_what_openssl_writes(tmp_path: Path) -> None:
    """With RSA, whose signatures of one text are all the same."""
    identity = IDENTITIES["rsa"]
    key, certificate, root = written(tmp_path, identity)
    theirs = openssl(
        *("smime", "-sign", "-binary", "-noattr", "-nocerts", "-in", root, "-inkey", key, "-signer", certificate),
        *("-outform", "der"),
    )
    assert sign_root_hash(ROOT_HASH, key=identity.key, certificate=identity.certificate) == theirs


def test_a_signer_named_by_its_key(tmp_path: Path) -> None:
    identity = make_identity("keyed", days=10000, key_identifier=True)
    key, certificate, root = written(tmp_path, identity)
    signature = openssl(
        *("cms", "-sign", "-binary", "-keyid", "-in", root, "-inkey", key, "-signer", certificate, "-outform", "der")
    )
    verify_root_hash(signature, ROOT_HASH, [identity.certificate], now=NOW)
