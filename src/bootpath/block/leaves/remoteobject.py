"""An object on an http(s) server or in S3, through obstore: its size and version, and ranges of it.

Source: RFC 9110 §13.1.1 (If-Match), §14 (range requests), §8.8 (validators). Each answer is compared with the version
that was seen first; If-Match lets the server compare before it sends anything, but only a strong ETag can be used so.

obstore is imported when the first object is opened. It follows redirects, each time anew. Its own retries are turned
off: who reads an object decides how often, and can be tested. URLs may carry secrets (user, signature): messages show
neither user nor query. Which authorities are trusted is the system's matter, or that of SSL_CERT_FILE.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import unquote

from bootpath.block.leaves.urls import split_url
from bootpath.core.device import Buffer
from bootpath.core.errors import DeviceError
from bootpath.core.extras import pip_install

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

DEFAULT_TIMEOUT_SECONDS = 30.0
SCHEMES = frozenset({"http", "https", "s3"})

_PART_BYTES = 1 << 20

_Result = TypeVar("_Result")

_STATUS = re.compile(r"status code: (\d{3})([^:\n]*)")
_URL = re.compile(r"\b(?:https?|s3)://\S+")
_PREAMBLE = re.compile(r"^(?:Generic \w+ error: )?(?:Error performing \S+ \S+ in \S+ - )?(?:HTTP error: )?")
_CAUSE = re.compile(r'(?:message|error): "([^"]+)"')
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(\w+)(?:\(\s*\w+\(\s*(\w+))?")
_RETRIED_STATUS = frozenset({408, 425, 429})


class TransientError(DeviceError):
    """EIO now, and perhaps not when it is tried again: a connection, a timeout, a cut body, a server's 5xx or 429."""


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """By what a state of an object is known. At least one of `etag` and `modified` is there for one that can change."""

    size_bytes: int
    etag: str | None = None
    modified: datetime | None = None

    @property
    def strong_etag(self) -> str | None:
        """The ETag, if "If-Match" may compare it."""
        return None if self.etag is None or self.etag.startswith("W/") else self.etag

    def difference(self, other: ObjectVersion) -> tuple[str, object, object] | None:
        """(what, ours, theirs) of the first thing that differs; what only one side knows differs too."""
        for what in ("size_bytes", "etag", "modified"):
            ours, theirs = getattr(self, what), getattr(other, what)
            if ours != theirs:
                return what, ours, theirs
        return None


class RemoteObject(Protocol):
    """What a remote device reads from."""

    @property
    def name(self) -> str:
        """For messages; no secrets."""
        ...

    def version(self) -> ObjectVersion:
        """The object as it is now. Raises DeviceError, TransientError when it is worth trying again."""
        ...

    def get(self, start: int, end: int, version: ObjectVersion) -> bytes | memoryview:
        """Exactly the bytes from start to end of that version. Raises as `version`; EIO when it has changed."""
        ...


class StoredObject:
    """One object of a store. Made by `open_object`."""

    def __init__(self, store: ObjectStore, path: str, name: str) -> None:
        self.name = name
        self._store = store
        self._path = path

    def version(self) -> ObjectVersion:
        """See `RemoteObject.version`: a HEAD request."""
        import obstore

        return _version(self._try(lambda: obstore.head(self._store, self._path)))

    def get(self, start: int, end: int, version: ObjectVersion) -> bytes | memoryview:
        """See `RemoteObject.get`: a GET request with a range."""
        import obstore

        options: GetOptions = {"range": (start, end)}
        if version.strong_etag is not None:
            options["if_match"] = version.strong_etag

        def fetch() -> tuple[Mapping[str, Any], tuple[int, int], memoryview]:
            result = obstore.get(self._store, self._path, options=options)
            return (
                result.meta,
                result.range,
                memoryview(_at_most(end - start, result.stream(min_chunk_size=_PART_BYTES))),
            )

        meta, found, data = self._try(fetch)
        difference = version.difference(_version(meta))
        if difference is not None:
            what, ours, theirs = difference
            raise DeviceError(f"the object has changed: another {what}", where=self.name, found=theirs, expected=ours)
        if found != (start, end) or len(data) != end - start:
            raise TransientError(
                "the server sends another range",
                where=self.name,
                found=f"{found[0]} to {found[1]}, {len(data)} bytes",
                expected=f"{start} to {end}",
            )
        return data

    def _try(self, request: Callable[[], _Result]) -> _Result:
        """Run a request and translate its failure."""
        from obstore.exceptions import (
            BaseError,
            NotSupportedError,
            PermissionDeniedError,
            PreconditionError,
            UnauthenticatedError,
        )

        try:
            return request()
        except FileNotFoundError:
            raise DeviceError("the object is not found (404)", errno=errno.ENOENT, where=self.name) from None
        except PreconditionError:
            raise DeviceError("the object has changed: the server answers 412", where=self.name) from None
        except (PermissionDeniedError, UnauthenticatedError):
            raise DeviceError("the server denies access (401 or 403)", errno=errno.EACCES, where=self.name) from None
        except NotSupportedError:
            raise DeviceError(
                "the server ignores ranges (200 for a part)",
                errno=errno.ENOTSUP,
                where=self.name,
                hint="use a server that can send parts of a file",
            ) from None
        except BaseError as error:
            raise self._translated(str(error)) from None

    def _translated(self, text: str) -> DeviceError:
        status = _STATUS.search(text)
        if status is None:
            return self._unanswered(*text.partition("Debug source")[::2])
        code = int(status[1])
        answer = f"the server answers {code}{status[2].rstrip()}"
        if code == 416:
            return DeviceError(
                f"the object has changed: {answer}", where=self.name, hint="the object is shorter than it was"
            )
        if code in _RETRIED_STATUS or code >= 500:
            return TransientError(answer, where=self.name)
        return DeviceError(answer, where=self.name)

    def _unanswered(self, text: str, details: str) -> DeviceError:
        """What failed before there was an answer. The cause is in obstore's details, which are Rust's Debug output."""
        certificate = _CERTIFICATE.search(details)
        if certificate is not None:
            return DeviceError(
                "the server's certificate is not trusted",
                errno=errno.EACCES,
                where=self.name,
                found=certificate[2] or certificate[1],
                hint="name a file with authorities to trust in SSL_CERT_FILE",
            )
        causes = _CAUSE.findall(details)
        reason = causes[-1] if causes else _PREAMBLE.sub("", _URL.sub(self.name, " ".join(text.split())))
        return TransientError(f"the request failed: {reason}", where=self.name)


def _at_most(length: int, parts: Iterable[Buffer]) -> bytearray:
    """What comes in parts, as far as it is looked at: a server can send more than it says, without end."""
    data = bytearray()
    for part in parts:
        data += memoryview(part)
        if len(data) > length:
            break
    return data


def _version(meta: Mapping[str, Any]) -> ObjectVersion:
    modified: datetime | None = meta["last_modified"]
    # A server that does not say when is reported as the epoch.
    return ObjectVersion(meta["size"], meta.get("e_tag"), modified if modified and modified.timestamp() else None)


def open_object(
    url: str,
    *,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    connect_seconds: float = 5.0,
    s3_config: Mapping[str, Any] | None = None,
) -> StoredObject:
    """The object at an http://, https:// or s3://bucket/key URL; nothing is asked of the server yet.

    `timeout_seconds` bounds one request. S3 is configured by the environment (AWS_*) and by `s3_config`, obstore's
    S3Config. DeviceError: EINVAL for another URL, ENOPKG when obstore is missing.
    """
    parts = split_url(url)
    name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise DeviceError(
            "the URL is not that of an object", errno=errno.EINVAL, where=name, expected="http, https or s3"
        )
    try:
        from obstore.exceptions import BaseError
        from obstore.store import HTTPStore, S3Store
    except ImportError:
        raise DeviceError(
            "remote disks need obstore, which is not installed",
            errno=errno.ENOPKG,
            where=name,
            hint=pip_install("remote"),
        ) from None
    client: ClientConfig = {
        "allow_http": True,
        "timeout": timedelta(seconds=timeout_seconds),
        "connect_timeout": timedelta(seconds=connect_seconds),
    }
    retry: RetryConfig = {"max_retries": 0}
    try:
        if parts.scheme == "s3":
            key = unquote(parts.path.lstrip("/"))
            if not key:
                raise DeviceError("the URL has no key", errno=errno.EINVAL, where=name, expected="s3://bucket/key")
            config = dict(s3_config or {})
            return StoredObject(S3Store(parts.netloc, client_options=client, retry_config=retry, **config), key, name)
        # The whole URL is the store and the object its root, so that the query and the escapes stay as they are.
        return StoredObject(HTTPStore(url, client_options=client, retry_config=retry), "", name)
    except (BaseError, ValueError) as error:
        reason = _URL.sub(name, str(error).split("Debug source", 1)[0])
        raise DeviceError(" ".join(reason.split()), errno=errno.EINVAL, where=name) from None
