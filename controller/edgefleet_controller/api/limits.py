"""How much a request may bring: a body that is too large is refused before it fills the memory or the disk."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgefleet_controller.api.problem import problem

MAX_JSON_BYTES = 1 << 20
MAX_BLOB_BYTES = 1 << 30
BLOBS = "/api/v1/blobs/"


class LimitBodies:
    """Answers 413 to what says that it is too large, and to what turns out to be."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, and its body as far as the limit."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = MAX_BLOB_BYTES if scope["path"].startswith(BLOBS) else MAX_JSON_BYTES
        said = Headers(scope=scope).get("Content-Length", "")
        # Nothing of the rest is read: the connection ends with the answer.
        close = {"Connection": "close"}
        refusal = f"the body may have at most {limit} bytes"
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
