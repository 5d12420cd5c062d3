"""Every option that promises security refuses something: through the command line, not only in the library.

`PROMISES` names, for each such option and each command that has it, the test that shows the refusal. What is in neither
list fails: who adds an option says which it is.
"""

from __future__ import annotations

import argparse
import ast
import base64
import errno
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from bootpath.cli import lived
from bootpath.cli.main import build_parser, main
from bootpath.formats.nbd.transmission import Command
from tests.support.certificates import make_identity
from tests.support.daemons import Daemon, serving
from tests.support.nbd import TIMEOUT_SECONDS, RawClient
from tests.support.parsers import leaves
from tests.support.tools import tool

HERE = Path(__file__).parent
SERVERS = ("serve", "verity open", "dm serve", "lived")
THIS = "test_security_options"
EVERYWHERE = "*"

PROMISES: dict[str, dict[str, str]] = {
    # Who gets in
    "--tls-dir": {EVERYWHERE: "test_tls_cli::test_only_the_right_certificate_gets_in"},
    "--tls-psk": {EVERYWHERE: "test_tls_cli::test_only_the_right_key_gets_in"},
    "--tls-no-client-auth": {EVERYWHERE: "test_tls_cli::test_without_client_authentication_anybody_gets_in"},
    "--socket": {EVERYWHERE: f"{THIS}::test_a_socket_is_its_owner_s"},
    "--tcp": {EVERYWHERE: f"{THIS}::test_tcp_beyond_this_machine_needs_a_word"},
    "--allow-plaintext": {EVERYWHERE: f"{THIS}::test_tcp_beyond_this_machine_needs_a_word"},
    "--status": {EVERYWHERE: f"{THIS}::test_the_status_beyond_this_machine_needs_a_token"},
    "--status-token-file": {EVERYWHERE: f"{THIS}::test_the_status_is_for_who_has_the_token"},
    "--max-clients": {EVERYWHERE: f"{THIS}::test_the_limit_of_clients"},
    # What they may do
    "--read-only": {"bootpath serve": f"{THIS}::test_writes_are_refused"},
    "--writable": {"bootpath dm serve": f"{THIS}::test_writes_are_refused"},
    "--overlay-size": {EVERYWHERE: f"{THIS}::test_an_overlay_has_its_size"},
    "--overlay-per-client": {"bootpath serve": "test_serve::test_an_overlay_for_each_client"},
    "--no-overlay-checksums": {
        "bootpath serve": "test_serve::test_a_damaged_block_of_a_persistent_overlay_is_eio_until_it_is_written"
    },
    "--apply": {
        EVERYWHERE: f"{THIS}::test_nothing_is_done_without_the_word",
        "bootpath overlay check": "test_overlay_cli::test_a_repair_is_a_plan_first",
        "bootpath repair": "test_repair_cli::test_a_repair_is_a_plan_first",
    },
    "--showkeys": {"bootpath dm table": "test_dm_cli::test_table"},
    "--allow-backing-file": {EVERYWHERE: "test_disk_images::test_an_image_that_names_another_file_is_refused"},
    "--raw": {
        EVERYWHERE: "test_disk_images::test_a_raw_file_that_a_guest_made_look_like_another_format",
        "bootpath overlay commit": "test_disk_images::test_an_overlay_is_not_committed_into_what_is_packed",
    },
    # What is believed
    "--root-hash": {
        "bootpath inspect": "test_inspect::test_demands_on_a_live_disk",
        "bootpath boot": "test_linux_boot_cli::test_another_root_hash_and_a_root_that_was_changed",
        "bootpath entries": "test_entries::test_another_root_hash",
    },
    "--root-hash-file": {
        "bootpath verity verify": f"{THIS}::test_another_root_hash",
        "bootpath verity open": f"{THIS}::test_another_root_hash",
    },
    "--root-hash-signature": {
        "bootpath verity open": "test_verity_cli::test_nothing_is_opened_with_a_signature_that_does_not_verify"
    },
    "--certificate": {
        "bootpath inspect": "test_inspect::test_demands_on_a_live_disk",
        "bootpath entries": "test_entries::test_a_root_must_be_signed_by_whom_one_trusts",
        "bootpath boot": "test_linux_boot_cli::test_exit_codes_say_the_verdict",
        "bootpath verity open": "test_verity_cli::test_nothing_is_opened_with_a_signature_that_does_not_verify",
    },
    "--policy": {
        "bootpath inspect": "test_inspect::test_demands_on_a_live_disk",
        "bootpath entries": "test_entries::test_a_root_must_be_signed_by_whom_one_trusts",
        "bootpath boot": "test_linux_boot_cli::test_exit_codes_say_the_verdict",
    },
    "--full": {
        "bootpath inspect": "test_inspect::test_a_signed_image",
        "bootpath boot": "test_linux_boot_cli::test_another_root_hash_and_a_root_that_was_changed",
    },
    "--kernel-signature": {"bootpath boot": "test_linux_boot_cli::test_the_signature_for_the_kernel"},
    "--trust-initrd": {"bootpath boot": "test_linux_boot_cli::test_options_of_the_request"},
    "--restart-on-corruption": {"bootpath verity open": f"{THIS}::test_after_a_wrong_block_nothing_is_read"},
    "--panic-on-corruption": {"bootpath verity open": f"{THIS}::test_after_a_wrong_block_nothing_is_read"},
    "--ignore-corruption": {"bootpath verity open": f"{THIS}::test_a_wrong_block_is_read_only_on_request"},
    # Secrets
    "--password-file": {
        EVERYWHERE: "test_cli::test_wrong_and_missing_passwords",
        "bootpath serve": f"{THIS}::test_a_locked_disk_and_the_wrong_password",
    },
    "--key": {EVERYWHERE: f"{THIS}::test_a_key_that_is_not_the_certificate_s"},
    "--key-certificate": {EVERYWHERE: f"{THIS}::test_a_key_that_is_not_the_certificate_s"},
    "--key-password-file": {EVERYWHERE: f"{THIS}::test_a_locked_key_and_the_wrong_password"},
}
"""The option, and by command (``*``: all others that have it) MODULE::TEST."""

PROMISES_ELSEWHERE = {
    ("--read-only", "bootpath dm export"): "written into the table, for the kernel to keep",
    ("--root-hash-file", "bootpath verity format"): "where the root hash is written",
    ("--root-hash-file", "bootpath verity sign"): "what is signed",
}
"""Options that promise in some commands, and what they are in these."""

_OTHERS = """
    --add --ahci --algorithm --align --all --all-root --append --architecture --assembly --bios-loader --block-size
    --busybox --check-at-most-once --classic --compression --copy-source --data-block-size --data-blocks --deadline
    --definitions --device --digest --disk --disk-delay --disk-name --display --dm-minor --dm-name --dm-uuid --dry-run
    --efi-loader --efi-vars --entry --env --esp --esp-size --export --fault --fec-device --fec-offset --fec-roots
    --file-system --fill --firmware --fixed --format --from-disk --grace --hash --hash-block-size --hash-offset --help
    --ignore-zero-blocks --image-id --image-version --init --initfs --initrd --json --json-partition --kernel
    --identical-slots --kernel-modules --kernel-release --label --length --list --look-in --memory --mount
    --next-candidate --no-disk
    --no-efi --no-superblock --normalise --offset --output --overlay --partitions-of --picture --plan --preload
    --preload-memory --print-table --processes --python --python-modules --record --recorded --repair --root --root-size
    --run --salt --screenshot --seed --select --serial --show-env --size --slot --slots --split --sysroot --table
    --timeout --to --touch --uki --until --use-tasklets --uuid --verbose --verity --version --with --workers --xbootldr
"""
OTHERS = frozenset(_OTHERS.split())
"""Options that promise nothing of the kind."""


def options() -> Iterator[tuple[str, str]]:
    """Each long option and each command whose help has it."""
    for parser in (*leaves(build_parser()), lived.build_parser()):
        for action in parser._actions:
            if action.help is not argparse.SUPPRESS:
                yield from ((flag, parser.prog) for flag in action.option_strings if flag.startswith("--"))


def test_every_option_is_one_or_the_other() -> None:
    found = {flag for flag, _ in options()}
    assert found - OTHERS - set(PROMISES) == set()
    assert (OTHERS | set(PROMISES)) - found == set()
    assert OTHERS & set(PROMISES) == set()


def test_every_promise_has_a_test_that_breaks_when_it_is_not_kept() -> None:
    for flag, command in options():
        if flag in OTHERS or (flag, command) in PROMISES_ELSEWHERE:
            continue
        tests = PROMISES[flag]
        assert command in tests or EVERYWHERE in tests, f"{command} {flag}"
        module, _, name = tests.get(command, tests.get(EVERYWHERE, "")).partition("::")
        source = (HERE / f"{module}.py").read_text()
        functions = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
        assert name in functions, f"{command} {flag}: {module}::{name}"
        assert flag in source, f"{module} does not know {flag}"


def test_no_promise_is_of_a_command_that_lacks_it() -> None:
    known = set(options())
    named = {(flag, command) for flag, tests in PROMISES.items() for command in tests if command != EVERYWHERE}
    assert (named | set(PROMISES_ELSEWHERE)) - known == set()


# Who gets in


@contextmanager
def opened(words: list[str], command: str, directory: Path, *more: str | Path) -> Iterator[Daemon]:
    program = "lived" if command == "lived" else "main"
    with serving(program, *words, *more, "--socket", directory / "s") as daemon:
        yield daemon


def connected(directory: Path) -> RawClient:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(TIMEOUT_SECONDS)
    client.connect(str(directory / "s"))
    return RawClient(client)


def read_error(client: RawClient, offset: int) -> int:
    client.ask(Command.READ, offset, 4096)
    return client.error()


def refused(words: list[str], command: str, *more: str | Path) -> int:
    """The exit code of a server that should not start. With a command, this process keeps its privileges."""
    run = lived.main if command == "lived" else main
    return run([*words, *map(str, more), "--run", "exit 77"])


@pytest.mark.parametrize("command", SERVERS)
def test_a_socket_is_its_owner_s(command: str, served_words: dict[str, list[str]], tmp_path: Path) -> None:
    with opened(served_words[command], command, tmp_path):
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


@pytest.mark.parametrize("command", SERVERS)
@pytest.mark.parametrize("where", ["0.0.0.0:0", ":0", "[::]:0"])
def test_tcp_beyond_this_machine_needs_a_word(
    command: str, where: str, served_words: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(served_words[command], command, "--tcp", where) == 2
    assert "give --tls-dir, or --allow-plaintext to allow that" in capsys.readouterr().err


@pytest.mark.parametrize("command", SERVERS)
@pytest.mark.parametrize("more", [(), ("--allow-plaintext",)])
def test_the_status_beyond_this_machine_needs_a_token(
    command: str, more: tuple[str, ...], served_words: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(served_words[command], command, "--status", "0.0.0.0:0", *more) == 2
    assert "anybody there may see the status page: give --status-token-file" in capsys.readouterr().err


@pytest.mark.parametrize("command", SERVERS)
def test_the_status_is_for_who_has_the_token(command: str, served_words: dict[str, list[str]], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef\n")
    where = ("--status", "127.0.0.1:0", "--status-token-file", tmp_path / "token")
    basic = base64.b64encode(b"me:0123456789abcdef").decode()
    with opened(served_words[command], command, tmp_path, *where) as daemon:
        for path in ("", "status.json", "metrics"):
            for shown in ("", "Bearer 0123456789abcdee", "Basic " + base64.b64encode(b"0123456789abcdef:").decode()):
                with pytest.raises(HTTPError) as failure:
                    urlopen(Request(daemon.status + path, headers={"Authorization": shown}), timeout=60)
                assert failure.value.code == 401
                failure.value.close()
            for shown in ("Bearer 0123456789abcdef", f"Basic {basic}"):
                with urlopen(Request(daemon.status + path, headers={"Authorization": shown}), timeout=60) as answer:
                    assert answer.status == 200


@pytest.mark.parametrize("command", SERVERS)
def test_the_limit_of_clients(command: str, served_words: dict[str, list[str]], tmp_path: Path) -> None:
    with opened(served_words[command], command, tmp_path, "--max-clients", "1"), connected(tmp_path) as one:
        one.go()
        with connected(tmp_path) as two:
            assert two.closed()
        assert len(one.read(0, 4096)) == 4096


# What they may do


@pytest.mark.parametrize(
    ("command", "more"), [("serve", ("--read-only",)), ("dm serve", ()), ("verity open", ())], ids=lambda value: value
)
def test_writes_are_refused(
    command: str, more: tuple[str, ...], served_words: dict[str, list[str]], tmp_path: Path
) -> None:
    """Of a client, too, that does not heed what it is told; `dm serve` writes with --writable only."""
    with opened(served_words[command], command, tmp_path, *more), connected(tmp_path) as client:
        client.go()
        before = client.read(0, 4096)
        assert client.write(0, b"\xab" * 4096) == errno.EPERM
        assert client.read(0, 4096) == before


@pytest.mark.parametrize("command", ["serve", "lived"])
def test_an_overlay_has_its_size(command: str, served_words: dict[str, list[str]], tmp_path: Path) -> None:
    with opened(served_words[command], command, tmp_path, "--overlay-size", "64KiB"), connected(tmp_path) as client:
        client.go()
        assert client.write(0, bytes(65536)) == 0
        assert client.write(65536, b"\xab" * 4096) == errno.ENOSPC


def test_nothing_is_done_without_the_word(tmp_path: Path, served_words: dict[str, list[str]]) -> None:
    base, overlay = tmp_path / "base", tmp_path / "overlay"
    base.write_bytes(bytes(1 << 20))
    with opened(["serve", str(base)], "serve", tmp_path, "--overlay", overlay), connected(tmp_path) as client:
        client.go()
        assert client.write(0, b"\xab" * 4096) == 0
    kept = overlay.read_bytes()
    assert main(["overlay", "commit", str(overlay), str(base)]) == 0
    assert main(["overlay", "discard", str(overlay)]) == 0
    assert (base.read_bytes(), overlay.read_bytes()) == (bytes(1 << 20), kept)
    assert main(["overlay", "commit", str(overlay), str(base), "--apply"]) == 0
    assert base.read_bytes()[:4096] == b"\xab" * 4096


# What is believed


def test_another_root_hash(served_words: dict[str, list[str]], tmp_path: Path) -> None:
    disk, hashes = served_words["verity open"][2:4]
    (tmp_path / "root").write_text("ab" * 32)
    given = (disk, hashes, "--root-hash-file", str(tmp_path / "root"))
    assert main(["verity", "verify", *given]) == 3
    assert main(["verity", "open", *given, "--run", f"{tool('nbdcopy')} $uri {tmp_path / 'copy'}"]) != 0
    assert not (tmp_path / "copy").exists() or not any((tmp_path / "copy").read_bytes())


def spoiled(served_words: dict[str, list[str]], directory: Path) -> list[str]:
    """The words of a volume whose second block is wrong."""
    words = list(served_words["verity open"])
    content = bytearray(Path(words[2]).read_bytes())
    content[4096] ^= 1
    words[2] = str(directory / "spoiled")
    Path(words[2]).write_bytes(content)
    return words


@pytest.mark.parametrize("option", ["--restart-on-corruption", "--panic-on-corruption"])
def test_after_a_wrong_block_nothing_is_read(option: str, served_words: dict[str, list[str]], tmp_path: Path) -> None:
    with opened(spoiled(served_words, tmp_path), "verity open", tmp_path, option), connected(tmp_path) as client:
        client.go()
        assert len(client.read(0, 4096)) == 4096
        for offset in (4096, 0):
            assert read_error(client, offset) == errno.EIO


@pytest.mark.parametrize("option", [(), ("--ignore-corruption",)])
def test_a_wrong_block_is_read_only_on_request(
    option: tuple[str, ...], served_words: dict[str, list[str]], tmp_path: Path
) -> None:
    with opened(spoiled(served_words, tmp_path), "verity open", tmp_path, *option), connected(tmp_path) as client:
        client.go()
        if option:
            assert len(client.read(4096, 4096)) == 4096
        else:
            assert read_error(client, 4096) == errno.EIO
        assert len(client.read(0, 4096)) == 4096


# Secrets


@pytest.mark.parametrize("password", [None, b"wrong"])
def test_a_locked_disk_and_the_wrong_password(
    password: bytes | None, locked_image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given: tuple[str | Path, ...] = ()
    if password is not None:
        (tmp_path / "secret").write_bytes(password)
        given = ("--password-file", tmp_path / "secret")
    assert refused(["serve", str(locked_image), "--preload", "plan"], "serve", *given) == 1
    assert "password" in capsys.readouterr().err


def signing(directory: Path, *, certificate: bytes, key: bytes) -> Iterator[list[str]]:
    """What signs: a root hash, and an image."""
    (directory / "tree").mkdir(exist_ok=True)
    (directory / "certificate").write_bytes(certificate)
    (directory / "key").write_bytes(key)
    given = ["--key", str(directory / "key"), "--key-certificate", str(directory / "certificate")]
    output = ["-o", str(directory / "output")]
    yield ["verity", "sign", "ab" * 32, *given, *output]
    yield ["build", "image", str(directory / "tree"), *given, *output]


def test_a_key_that_is_not_the_certificate_s(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = make_identity("one"), make_identity("other")
    for words in signing(tmp_path, certificate=one.certificate, key=other.key):
        assert main(words) != 0
        assert "the key is not the certificate's" in capsys.readouterr().err
        assert not (tmp_path / "output").exists()


def test_a_locked_key_and_the_wrong_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locked = make_identity("me", password=b"right")
    (tmp_path / "wrong").write_bytes(b"wrong")
    for words in signing(tmp_path, certificate=locked.certificate, key=locked.key):
        for more in ([], ["--key-password-file", str(tmp_path / "wrong")]):
            assert main([*words, *more]) != 0
            assert "the key cannot be read" in capsys.readouterr().err
            assert not (tmp_path / "output").exists()
