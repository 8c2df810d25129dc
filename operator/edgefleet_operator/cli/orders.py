"""`edgefleet rollout pause|resume|abort|rollback`: what an operator orders of a rollout under way."""

import typer

from edgefleet_operator.cli.calling import Api, AsJson, Timeout, calling, one
from edgefleet_operator.cli.ending import OK
from edgefleet_operator.cli.printing import console, print_json
from edgefleet_operator.cli.rollout import Rollout, Watch
from edgefleet_operator.cli.watch import header, status_of, watch

app = typer.Typer()


@app.command()
def pause(rollout: Rollout, api: Api = None, as_json: AsJson = False) -> None:
    """Let nobody else switch until it is resumed; who is ready stays ready."""
    _order("pause", rollout, api, as_json)


@app.command()
def resume(
    rollout: Rollout, follow: Watch = False, timeout: Timeout = None, api: Api = None, as_json: AsJson = False
) -> None:
    """Go on with a paused one; a wave that failed is judged anew."""
    _order("resume", rollout, api, as_json, follow=follow, timeout_s=timeout)


@app.command()
def abort(rollout: Rollout, api: Api = None, as_json: AsJson = False) -> None:
    """End it for good: transfers and switches stop, who has committed stays so."""
    _order("abort", rollout, api, as_json)


@app.command()
def rollback(
    rollout: Rollout, follow: Watch = False, timeout: Timeout = None, api: Api = None, as_json: AsJson = False
) -> None:
    """Let every device return to what it ran before, from its own disk."""
    _order("rollback", rollout, api, as_json, follow=follow, timeout_s=timeout)


def _order(
    verb: str, rollout: str, api: str | None, as_json: bool, *, follow: bool = False, timeout_s: float | None = None
) -> None:
    """Give an order; what is watched ends well where the order wanted it to end."""
    status = OK
    with calling(api) as client:
        found = client.post(f"/rollouts/{one(client, '/rollouts', rollout)['id']}/{verb}", None)
        if follow:
            found = watch(client, found["id"], console(stderr=as_json), timeout_s)
            status = status_of(found, ("rolled_back",) if verb == "rollback" else ("completed",))
    if as_json:
        print_json(found)
    elif not follow:
        console().print(header(found))
    raise typer.Exit(status)
