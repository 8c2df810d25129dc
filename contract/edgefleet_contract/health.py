"""How the controller itself is."""

from edgefleet_contract.base import Shape


class StateView(Shape):
    """The state folder: whether it can be written, and how much is free."""

    writable: bool
    free_bytes: int


class SetAsideView(Shape):
    """A message that was no message of ours."""

    at_ms: int
    topic: str
    why: str


class HealthView(Shape):
    """Whether the controller hears the broker, can write its state, and what it set aside.

    `messages` counts what devices sent, by kind; `delivered_bytes` those of chunks, by channel; `damaged_blobs` are the
    digests of files that hold something else.
    """

    status: str
    version: str
    now_ms: int
    state: StateView
    broker: str
    messages: dict[str, int]
    delivered_bytes: dict[str, int]
    damaged_blobs: list[str]
    set_aside: list[SetAsideView]
