"""Alerts: what needs an operator's look, for as long as it does."""

from typing import Literal

from edgefleet_contract.base import Shape

AlertState = Literal["open", "ended"]


class AlertRecord(Shape):
    """Something that needs an operator's look.

    `kind` is a name from a list that grows; `rollout`, `check` and `profile` say what it is about, null where that does
    not apply. These four are its `id`: a finding that lasts, or comes back, is one alert. `text` is what was found
    last, at `last_ms`, and `do` what to do about it. It is open until `ended_ms`; `ended_because` says why it ended.
    """

    id: str
    kind: str
    rollout: str | None = None
    check: str | None = None
    profile: str | None = None
    text: str
    do: str
    first_ms: int
    last_ms: int
    ended_ms: int | None = None
    ended_because: str | None = None

    @property
    def state(self) -> AlertState:
        """Whether it still needs a look."""
        return "open" if self.ended_ms is None else "ended"
