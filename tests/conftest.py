"""What every test finds, whoever called pytest: the caller's signals, streams, umask and locale are not seen, nor load.

A job of cron, of nohup or of a background shell ignores SIGINT or SIGHUP, and its children inherit that; so they do
blocked signals, the umask and the environment. A test that is about one of these sets it for the process it starts.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from bootpath.serve.running import run
from bootpath.serve.running.confinement import confined

TMPDIR_MAX_BYTES = 30
"""A socket's name has 108 bytes (unix(7)). The others are for pytest's folders and what a test makes in them."""
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")

IGNORED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}

# Variables that the programs under test, their judges and Python heed.
FOREIGN = {"LANGUAGE", "TZ", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "SOURCE_DATE_EPOCH", "MAKEFLAGS", "MFLAGS"}
FOREIGN |= {"PYTHONWARNINGS", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONUNBUFFERED", "PYTHONOPTIMIZE"}
FOREIGN_PREFIXES = ("LC_", "XDG_", "LISTEN_", "NOTIFY_", "WATCHDOG_", "AWS_", "SSL_CERT_")
FOREIGN_SUFFIXES = ("_proxy", "_PROXY")


def pytest_configure() -> None:
    _restore_signals()
    _open_streams()
    os.umask(0o022)
    _clean_environment()
    _shorten_tmpdir()
    settings.register_profile("bootpath", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
    settings.load_profile("bootpath")


def pytest_report_header() -> str:
    return f"temporary files: {tempfile.gettempdir()}"


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A home without settings, for programs that look for some."""
    os.environ["HOME"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session", autouse=True)
def _privileges() -> Iterator[None]:
    """PR_SET_NO_NEW_PRIVS cannot be taken back: a server that a test runs in this process does not set it.

    Later tests execute programs that need it, such as fusermount3. Servers in processes of their own set it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "confined", lambda privileges: confined(privileges=True))
        yield


def _restore_signals() -> None:
    """As a process finds them that a terminal's shell starts."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - IGNORED_BY_PYTHON:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _open_streams() -> None:
    """0, 1 and 2 are open, so that no file of a test gets these numbers; and nothing is read from a terminal."""
    null = os.open(os.devnull, os.O_RDWR)
    while null < 3:
        null = os.dup(null)
    os.dup2(null, 0)
    os.close(null)


def _clean_environment() -> None:
    for name in [*os.environ]:
        if name in FOREIGN or name.startswith(FOREIGN_PREFIXES) or name.endswith(FOREIGN_SUFFIXES):
            del os.environ[name]
    os.environ["LANG"] = "C.UTF-8"


def _shorten_tmpdir() -> None:
    """Elsewhere, where TMPDIR leaves sockets no room for their names."""
    if len(os.fsencode(tempfile.gettempdir())) <= TMPDIR_MAX_BYTES:
        return
    folder = next((Path(name) for name in SHORT_FOLDERS if os.access(name, os.W_OK | os.X_OK)), None)
    if folder is not None:
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
