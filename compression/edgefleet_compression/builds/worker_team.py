"""The workers of one piece of work, which can be called off without a word to those of others."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import ParamSpec, Protocol, TypeVar

from edgefleet_compression.builds.worker_pool import Limits, WorkerPool

P = ParamSpec("P")
T = TypeVar("T")


class Workers(Protocol):
    """What takes calls: a whole pool, or a team of one; `count` calls run at a time, under `limits`."""

    count: int
    limits: Limits

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `fn` in a worker."""

    def submit_within(self, limits: Limits, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `fn` in a worker under limits that were made of `limits`."""


class WorkerTeam:
    """Calls of one piece of work; those of a team that was called off end in a moment, with their processes.

    Args:
        pool: whose processes take the calls.
    """

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._called_off = threading.Event()
        self.count = pool.count
        self.limits = replace(pool.limits, called_off=self._called_off)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `fn` in a worker.

        Raises:
            CalledOff: the work was called off.
        """
        return self.submit_within(self.limits, fn, *args, **kwargs)

    def submit_within(self, limits: Limits, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `fn` in a worker under limits of its own, which are made of this team's.

        Raises:
            CalledOff: the work was called off.
        """
        self.refuse_if_called_off()
        return self._pool.submit_within(limits, fn, *args, **kwargs)

    def call_off(self) -> None:
        """End all calls."""
        self._called_off.set()

    @property
    def is_called_off(self) -> bool:
        """Whether the work was called off."""
        return self._called_off.is_set()

    def refuse_if_called_off(self) -> None:
        """See that the work is still wanted.

        Raises:
            CalledOff: it is not.
        """
        self.limits.refuse_if_called_off()
