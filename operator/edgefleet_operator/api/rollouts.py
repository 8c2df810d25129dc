"""Plans, starts, watches and controls rollouts."""

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
        """Get exactly what starting a rollout would do now; changes nothing."""
        return self._http.shape(PlanView, "POST", "/rollouts/plan", body=spec)

    def start(self, spec: RolloutSpec) -> RolloutView:
        """Start a rollout; the controller's defaults fill in what `spec` leaves out."""
        return self._http.shape(RolloutView, "POST", "/rollouts", body=spec)

    def all(self, limit: int | None = None) -> Iterator[RolloutView]:
        """Iterate over all rollouts, oldest first, at most `limit`."""
        return self._http.items(Page[RolloutView], "/rollouts", limit)

    def get(self, rollout: str) -> RolloutView:
        """Get a rollout, wave by wave."""
        return self._http.shape(RolloutView, "GET", at("/rollouts", rollout))

    def executions(self, rollout: str, limit: int | None = None) -> Iterator[ExecutionRecord]:
        """Iterate over the devices of a rollout, each with its phase, at most `limit`."""
        return self._http.items(Page[ExecutionRecord], f"{at('/rollouts', rollout)}/executions", limit)

    def pause(self, rollout: str) -> RolloutView:
        """Pause: no more devices switch until the rollout is resumed."""
        return self._order(rollout, "pause")

    def resume(self, rollout: str) -> RolloutView:
        """Resume; a wave that failed or was inconclusive is judged again."""
        return self._order(rollout, "resume")

    def abort(self, rollout: str) -> RolloutView:
        """Stop transfers and switches; devices that have committed keep the new variant."""
        return self._order(rollout, "abort")

    def roll_back(self, rollout: str) -> RolloutView:
        """Return every device to what it ran before, from its own disk."""
        return self._order(rollout, "rollback")

    def watch(self, rollout: str, *, timeout_s: float | None = None, poll_s: float = POLL_S) -> Iterator[RolloutView]:
        """Poll a rollout and yield each state, until it has ended or is paused.

        Args:
            rollout: the rollout's id.
            timeout_s: seconds to wait at most; None waits forever.
            poll_s: seconds between polls.

        Raises:
            ApiError: the controller refused the request, or didn't answer for half a minute.
            WaitTimeout: the time is up; the rollout goes on.
        """
        return looks(lambda: self.get(rollout), lambda seen: seen.rests, f"rollout {rollout}", timeout_s, poll_s)

    def wait(
        self,
        rollout: str,
        *,
        timeout_s: float | None = None,
        on_progress: Callable[[RolloutView], None] | None = None,
    ) -> RolloutView:
        """Wait until a rollout has ended or is paused; `on_progress` is called with each new state.

        Raises:
            ApiError: the controller refused the request, or didn't answer for half a minute.
            WaitTimeout: the time is up; the rollout goes on.
        """
        return last(self.watch(rollout, timeout_s=timeout_s), on_progress)

    def _order(self, rollout: str, verb: str) -> RolloutView:
        return self._http.shape(RolloutView, "POST", f"{at('/rollouts', rollout)}/{verb}")
