"""Every error, as problem+json (RFC 9457)."""

from edgefleet_contract.base import Shape

MEDIA_TYPE = "application/problem+json"


class Problem(Shape):
    """What every error answers, after RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
