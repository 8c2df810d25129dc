"""A controller that is played: answers in order, and what was asked of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import httpx


@dataclass
class Played:
    """Gives its answers one after the other; an exception is raised."""

    answers: Iterable[httpx.Response | Exception]
    asked: list[httpx.Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._answers = iter(self.answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def transport(self) -> httpx.MockTransport:
        """What a client takes."""
        return httpx.MockTransport(self)
