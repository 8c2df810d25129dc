"""The operator's side: the REST client, the command line and the demo; speaks HTTP only."""

from typing import TYPE_CHECKING, Any

from edgefleet_operator.errors import (
    ApiError,
    Conflict,
    ControllerFault,
    Invalid,
    NoAnswer,
    NotFound,
    NotUnderstood,
    OperatorError,
    ReaderMissing,
    Unauthorized,
    Unavailable,
    UnusableFile,
    WaitTimeout,
)

if TYPE_CHECKING:
    from edgefleet_operator.api.uploads import UploadProgress
    from edgefleet_operator.client import Client

__all__ = [
    "ApiError",
    "Client",
    "Conflict",
    "ControllerFault",
    "Invalid",
    "NoAnswer",
    "NotFound",
    "NotUnderstood",
    "OperatorError",
    "ReaderMissing",
    "Unauthorized",
    "Unavailable",
    "UnusableFile",
    "UploadProgress",
    "WaitTimeout",
]


def __getattr__(name: str) -> Any:
    """Load the client on first use: a base install lacks httpx, and must be able to say so."""
    if name == "Client":
        from edgefleet_operator.client import Client

        return Client
    if name == "UploadProgress":
        from edgefleet_operator.api.uploads import UploadProgress

        return UploadProgress
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
