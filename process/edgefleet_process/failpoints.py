"""Failpoints: steps at which tests kill a process, as a power cut would; unarmed, a step costs one comparison."""

import os
import signal
from typing import Generic, TypeVar

from edgefleet_process.errors import NoSuchFailpoint

Point = TypeVar("Point", bound=str)
"""The names of one program's failpoints, a Literal."""


class Failpoints(Generic[Point]):
    """The failpoints of one program, a closed list; at most one is armed.

    Args:
        points: their names; each marks one place in the code.
    """

    def __init__(self, points: tuple[Point, ...]) -> None:
        self.points = points
        self._armed: _Armed | None = None

    def arm(self, text: str | None) -> None:
        """Choose where to kill the process: at NAME or NAME/DETAIL, or at its N-th pass with :N; None for nowhere.

        Raises:
            NoSuchFailpoint: the text names no point of this program.
        """
        self._armed = _Armed(text, self.points) if text else None

    def reach(self, point: Point, detail: str | None = None) -> None:
        """Mark a step as reached.

        Args:
            point: the step.
            detail: distinguishes passes of the same step: a phase, a file's name, an order.
        """
        if self._armed is not None:
            self._armed.reach(point, detail)


class _Armed:
    """The point at which this process kills itself, and how many passes are left until then."""

    def __init__(self, text: str, points: tuple[str, ...]) -> None:
        step, _, passes = text.partition(":")
        point, _, self._detail = step.partition("/")
        if point not in points or not (passes or "1").isdecimal():
            raise NoSuchFailpoint(f"unknown failpoint '{text}': write NAME, NAME/DETAIL or NAME:PASSES")
        self._point, self._left = point, int(passes or 1)

    def reach(self, point: str, detail: str | None) -> None:
        if point == self._point and self._detail in ("", detail):
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
