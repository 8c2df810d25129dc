"""Refuses what a foreign page makes a browser send, before the request's body is read."""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from edgefleet_contract.headers import REQUESTED_WITH
from edgefleet_controller.api.problem import problem
from edgefleet_process.foreign_pages import foreign, same_site

SIMPLE = frozenset({"", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded"})
"""The content types that a page can make a browser send to another site without being asked."""


class RefuseForeignPages:
    """Answers 403 to requests that a page of another site may have sent.

    Args:
        app: what answers the others.
        names: by which the API is asked for; None means any, as it wants a token.
    """

    def __init__(self, app: ASGIApp, names: Collection[str] | None) -> None:
        self._app = app
        self._names = None if names is None else frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or (why := self._refusal(scope["method"], Headers(scope=scope))) is None:
            await self._app(scope, receive, send)
            return
        await problem(403, why, {"Connection": "close"})(scope, receive, send)

    def _refusal(self, method: str, headers: Headers) -> str | None:
        host, origin = headers.get("Host"), headers.get("Origin")
        if why := foreign(host, origin, self._names):
            return f"{why}: ask it by its address; --allow-host NAME of 'edgefleet serve' adds a name"
        known = REQUESTED_WITH in headers or "Authorization" in headers or (origin and same_site(host, origin))
        if method != "POST" or known or headers.get("Content-Type", "").partition(";")[0].strip().lower() not in SIMPLE:
            return None
        return f"a POST without JSON needs the header '{REQUESTED_WITH}: NAME', which another site's page cannot send"
