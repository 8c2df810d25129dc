"""The API's bearer token, checked before a request's body is read."""

from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from edgefleet_controller.api.problem import problem
from edgefleet_controller.credentials import Credentials

BEARER = HTTPBearer(auto_error=False, description="required once credentials were made; see docs/operating.md")
"""Declares the scheme, so that the interactive docs can ask for the token; `RequireToken` checks it."""

PUBLIC = frozenset({"/docs", "/docs/oauth2-redirect", "/openapi.json", "/redoc"})
"""Paths that describe the API and reveal nothing about the fleet."""
STATIC = "/static-offline-docs/"
"""Where the scripts and styles of these pages are."""


class RequireToken:
    """Answers 401 to every request without the token, except for the API's description."""

    def __init__(self, app: ASGIApp, credentials: Credentials) -> None:
        self._app = app
        self._credentials = credentials

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it without reading its body."""
        if scope["type"] != "http" or _is_public(scope["path"]) or self._admits(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        given = "the token is wrong" if "Authorization" in Headers(scope=scope) else "a token is required"
        refusal = problem(401, f"{given}: send 'Authorization: Bearer TOKEN', or set EDGEFLEET_TOKEN")
        refusal.headers["WWW-Authenticate"] = "Bearer"
        await refusal(scope, receive, send)

    def _admits(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._credentials.admits(token.strip())


def _is_public(path: str) -> bool:
    return path in PUBLIC or (path.startswith(STATIC) and ".." not in path)
