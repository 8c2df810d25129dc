"""`edgefleet rollout pause|resume|abort|rollback`: orders for a running rollout."""

from collections.abc import Callable

import typer

from edgefleet_contract.rollouts import RolloutPhase, RolloutView
from edgefleet_operator.api.rollouts import Rollouts
from edgefleet_operator.cli.calling import Api, AsJson, Timeout, calling, one
from edgefleet_operator.cli.ending import OK
from edgefleet_operator.cli.rollout import Rollout, Watch
from edgefleet_operator.cli.watch import header, status_of, watch
from edgefleet_operator.printing import console, print_json

app = typer.Typer()


@app.command()
def pause(rollout: Rollout, api: Api = None, as_json: AsJson = False) -> None:
    """Pause a rollout: no more devices switch until it is resumed; what is fetched and staged is kept."""
    _order(Rollouts.pause, rollout, api, as_json)


@app.command()
def resume(
    rollout: Rollout, follow: Watch = False, timeout: Timeout = None, api: Api = None, as_json: AsJson = False
) -> None:
    """Resume a paused rollout; a wave that failed is judged again."""
    _order(Rollouts.resume, rollout, api, as_json, follow=follow, timeout_s=timeout)


@app.command()
def abort(rollout: Rollout, api: Api = None, as_json: AsJson = False) -> None:
    """End a rollout for good: transfers and switches stop; devices that have committed keep the new variant.

    The others throw away what they have fetched or staged for it; `pause` keeps that.
    """
    _order(Rollouts.abort, rollout, api, as_json)


@app.command()
def rollback(
    rollout: Rollout, follow: Watch = False, timeout: Timeout = None, api: Api = None, as_json: AsJson = False
) -> None:
    """Return every device to what it ran before, from its own disk."""
    _order(Rollouts.roll_back, rollout, api, as_json, follow=follow, timeout_s=timeout, good="rolled_back")


def _order(
    order: Callable[[Rollouts, str], RolloutView],
    rollout: str,
    api: str | None,
    as_json: bool,
    *,
    follow: bool = False,
    timeout_s: float | None = None,
    good: RolloutPhase = "completed",
) -> None:
    """Give an order; a watched rollout ends well in the state `good`."""
    status = OK
    with calling(api) as client:
        found = order(client.rollouts, one(client.rollouts, rollout).id)
        if follow:
            found = watch(client, found, console(stderr=as_json), timeout_s)
            status = status_of(found, good)
    if as_json:
        print_json(found)
    elif not follow:
        console().print(header(found))
    raise typer.Exit(status)
