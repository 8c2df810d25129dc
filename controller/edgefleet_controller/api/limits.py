"""Limits on request bodies: one that is too large is refused before it fills memory or disk."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgefleet_contract.uploads import MAX_FILE_BYTES
from edgefleet_controller.api.problem import problem

MAX_JSON_BYTES = 1 << 20
BLOBS = "/api/v1/blobs/"


class LimitBodies:
    """Answers 413 to a body whose declared or actual size is too large."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with its body up to the limit."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_file = scope["method"] == "PUT" and scope["path"].startswith(BLOBS)
        limit = MAX_FILE_BYTES if is_file else MAX_JSON_BYTES
        said = Headers(scope=scope).get("Content-Length", "")
        # The rest of the body is not read, so the connection must close after the answer.
        close = {"Connection": "close"}
        refusal = f"the body is too large: at most {limit} bytes are allowed"
        if said.isdecimal() and (len(said) > 18 or int(said) > limit):
            await problem(413, refusal, close)(scope, receive, send)
            return
        received = 0

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, refusal, close)
            return message

        await self._app(scope, receive_some, send)
