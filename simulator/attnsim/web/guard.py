"""What stands between a browser and the explorer: requests from elsewhere and large ones are refused, and every response says what a page
may do.

The explorer listens on the loopback address alone. A page of another site could still make the browser ask it (or, by DNS rebinding, pass
for it), so the Host must be a loopback name, and an Origin, where there is one, the explorer's own.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from attnsim.web.limits import MOST_BODY

LOG: Final = logging.getLogger("attnsim.web")
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data: 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
_LOOPBACK: Final = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.IGNORECASE)


class Guard:
    """Wraps an application: checks Host and Origin, reads the body up to `most` bytes, adds the headers, logs bugs."""

    def __init__(self, app: ASGIApp, most: int = MOST_BODY) -> None:
        self.app = app
        self.most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        started = False

        async def secured(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                present = {name.lower() for name, _ in message["headers"]}
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in present]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        headers = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        fault = _foreign(headers)
        if fault is not None:
            await _refuse(secured, 403, fault)
            return
        declared = next((value for name, value in headers if name == b"content-length"), "0")
        if not declared.isdigit() or int(declared) > self.most:
            await _refuse(secured, 413, f"a request has at most {self.most} bytes")
            return
        body = await self._body(receive)
        if body is None:
            await _refuse(secured, 413, f"a request has at most {self.most} bytes")
            return
        try:
            await self.app(scope, _replayed(body, receive), secured)
        except Exception as error:  # noqa: BLE001 - the one net: whatever else goes wrong is our bug
            LOG.error("internal error: %s", error, exc_info=error)
            if not started:
                await _refuse(secured, 500, "internal error of attnsim; the terminal of `attnsim serve` shows it")

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body; None as soon as it is too large, the rest unread."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":  # the browser has left
                return b"".join(parts)
            part = message.get("body", b"")
            size += len(part)
            if size > self.most:
                return None
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)


def _foreign(headers: list[tuple[bytes, str]]) -> str | None:
    """Why a request is not one of this machine's own pages; None where it may be."""
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 or not _LOOPBACK.fullmatch(hosts[0]):
        return "the explorer answers to 127.0.0.1 and localhost only"
    for name, value in headers:
        if name == b"origin" and value.lower() != f"http://{hosts[0].lower()}":
            return "the explorer answers its own page only"
    return None


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A body that was read, once more; afterwards what the browser does."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _refuse(send: Send, status: int, message: str) -> None:
    body = json.dumps({"issues": [{"message": message, "file": "", "line": None, "column": None, "path": ""}]}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
