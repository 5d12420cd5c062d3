"""An S3 server on the loopback: objects by ``/bucket/key``, for who signs his requests as AWS wants it.

Source: AWS Signature Version 4 for S3, "Authenticating Requests: Using the Authorization Header". Written from that
page, so that a client's signatures have a judge.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, quote, urlsplit

from tests.support.rangeserver import RangeServer, send

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/]+)/(?P<scope>(?P<date>\d{8})/(?P<region>[^/]+)/s3/aws4_request),"
    r"\s*SignedHeaders=(?P<headers>[^,]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)


class S3Server(RangeServer):
    """Knows one account. `refused` counts the requests that were not signed by it."""

    def __init__(self, *, access_key_id: str = "tester", secret_access_key: str = "secret") -> None:
        self.access_key_id, self.secret_access_key = access_key_id, secret_access_key
        self.refused = 0
        super().__init__()

    def environment(self) -> dict[str, str]:
        """What a client has to be told."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_ENDPOINT_URL": self.url(""),
            "AWS_REGION": "eu-central-1",
            "AWS_ALLOW_HTTP": "true",
        }

    def _answer(self, handler: BaseHTTPRequestHandler, method: str) -> None:
        if not self._is_signed(handler, method):
            self.refused += 1
            return send(handler, 403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", {})
        return super()._answer(handler, method)

    def _is_signed(self, handler: BaseHTTPRequestHandler, method: str) -> bool:
        found = _AUTHORIZATION.fullmatch(handler.headers.get("Authorization", ""))
        if found is None or found["id"] != self.access_key_id:
            return False
        url = urlsplit(handler.path)
        query = "&".join(
            f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
            for name, value in sorted(parse_qsl(url.query, keep_blank_values=True))
        )
        headers = "".join(f"{name}:{handler.headers.get(name, '').strip()}\n" for name in found["headers"].split(";"))
        content = handler.headers.get("x-amz-content-sha256", "")
        request = "\n".join((method, url.path, query, headers, found["headers"], content))
        text = "\n".join(
            (
                "AWS4-HMAC-SHA256",
                handler.headers.get("x-amz-date", ""),
                found["scope"],
                hashlib.sha256(request.encode()).hexdigest(),
            )
        )
        key = f"AWS4{self.secret_access_key}".encode()
        for part in (found["date"], found["region"], "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), found["signature"])
