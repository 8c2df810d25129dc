"""The body of every error response: problem+json (RFC 9457)."""

from edgefleet_contract.base import Shape

MEDIA_TYPE = "application/problem+json"


class Problem(Shape):
    """The body of every error response (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
