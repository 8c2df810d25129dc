"""The controller's own health."""

from edgefleet_contract.base import Shape


class StateView(Shape):
    """The state folder: whether it can be written, and how much is free."""

    writable: bool
    free_bytes: int


class SetAsideView(Shape):
    """A message that could not be read and was set aside."""

    at_ms: int
    topic: str
    why: str


class HealthView(Shape):
    """Whether the controller is connected to the broker and can write its state, and what it set aside.

    `broker` is the one that it is connected to, or else tries; `brokers` are all that it was given, in order.
    `messages` counts, since the start, messages from devices by kind, those not taken by the reason, and telemetry
    windows; `/metrics` says what each counts. `delivered_bytes` are bytes of chunks sent, by channel; `damaged_blobs`
    lists the digests of files whose content no longer matches; `set_aside` the last messages that could not be read.
    """

    status: str
    version: str
    now_ms: int
    state: StateView
    broker: str
    brokers: tuple[str, ...] = ()
    messages: dict[str, int]
    delivered_bytes: dict[str, int]
    damaged_blobs: list[str]
    set_aside: list[SetAsideView]
