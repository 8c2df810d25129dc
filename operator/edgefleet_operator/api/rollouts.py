"""Rollouts: planned, started, watched, and ordered about."""

from collections.abc import Callable, Iterator

from edgefleet_contract.pages import Page
from edgefleet_contract.rollouts import ExecutionRecord, PlanView, RolloutSpec, RolloutView
from edgefleet_operator.api.waiting import POLL_S, last, looks
from edgefleet_operator.http import Http, at


class Rollouts:
    """`client.rollouts`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def plan(self, spec: RolloutSpec) -> PlanView:
        """Exactly what starting a rollout would do now; changes nothing."""
        return self._http.shape(PlanView, "POST", "/rollouts/plan", body=spec)

    def start(self, spec: RolloutSpec) -> RolloutView:
        """Start a rollout; what `spec` leaves out is the controller's default."""
        return self._http.shape(RolloutView, "POST", "/rollouts", body=spec)

    def all(self, limit: int | None = None) -> Iterator[RolloutView]:
        """Every rollout, the oldest first; at most `limit`."""
        return self._http.items(Page[RolloutView], "/rollouts", limit)

    def get(self, rollout: str) -> RolloutView:
        """A rollout, wave by wave."""
        return self._http.shape(RolloutView, "GET", at("/rollouts", rollout))

    def executions(self, rollout: str, limit: int | None = None) -> Iterator[ExecutionRecord]:
        """The devices of a rollout, each with its phase; at most `limit`."""
        return self._http.items(Page[ExecutionRecord], f"{at('/rollouts', rollout)}/executions", limit)

    def pause(self, rollout: str) -> RolloutView:
        """Let nobody else switch until it is resumed."""
        return self._order(rollout, "pause")

    def resume(self, rollout: str) -> RolloutView:
        """Go on; a wave that failed or was inconclusive is judged anew."""
        return self._order(rollout, "resume")

    def abort(self, rollout: str) -> RolloutView:
        """Stop transfers and switches; whoever has committed stays."""
        return self._order(rollout, "abort")

    def roll_back(self, rollout: str) -> RolloutView:
        """Let every device go back to what it ran before, from its own disk."""
        return self._order(rollout, "rollback")

    def watch(self, rollout: str, *, timeout_s: float | None = None, poll_s: float = POLL_S) -> Iterator[RolloutView]:
        """A rollout as it goes on, until it has ended or is paused.

        Args:
            rollout: its id.
            timeout_s: seconds to wait at most; None waits for ever.
            poll_s: seconds between two looks.

        Raises:
            ApiError: it is refused, or there was no answer for half a minute.
            WaitTimeout: the time is up; it goes on.
        """
        return looks(lambda: self.get(rollout), lambda seen: seen.rests, f"rollout {rollout}", timeout_s, poll_s)

    def wait(
        self,
        rollout: str,
        *,
        timeout_s: float | None = None,
        on_progress: Callable[[RolloutView], None] | None = None,
    ) -> RolloutView:
        """A rollout once it has ended or is paused; `on_progress` is told how far it is.

        Raises:
            ApiError: it is refused, or there was no answer for half a minute.
            WaitTimeout: the time is up; it goes on.
        """
        return last(self.watch(rollout, timeout_s=timeout_s), on_progress)

    def _order(self, rollout: str, verb: str) -> RolloutView:
        return self._http.shape(RolloutView, "POST", f"{at('/rollouts', rollout)}/{verb}")
