"""Connects commands to the controller, with the options and look-ups that they share."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Protocol, TypeVar

import typer

from edgefleet_contract.announcement import ANNOUNCED_IN, Announcement
from edgefleet_contract.errors import ContractError
from edgefleet_operator.cli.ending import TIMED_OUT, USAGE, refuse
from edgefleet_operator.client import Client
from edgefleet_operator.errors import Invalid, NotFound, OperatorError, WaitTimeout
from edgefleet_operator.short_ids import is_short_for, short_ids
from edgefleet_profiles.errors import ProfileError

TOKEN = "EDGEFLEET_TOKEN"  # noqa: S105 - the name of a variable
CANDIDATES = 5
NOTE = Path(".edgefleet/controller") / ANNOUNCED_IN

Api = Annotated[
    str | None,
    typer.Option("--api", envvar="EDGEFLEET_API", help="URL of the controller; default: the one in ./.edgefleet"),
]
AsJson = Annotated[bool, typer.Option("--json", help="print only JSON to stdout")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="how many at most; default: all")]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL@VERSION", help="for example fashion@1")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0, help="seconds to wait before giving up with exit code 4")
]


def find_api(given: str | None) -> str:
    """Find the controller's URL: as given, or as announced by the controller in this folder.

    Raises:
        typer.Exit: there is none; with the exit code for wrong usage.
    """
    try:
        return given or Announcement.model_validate_json(NOTE.read_bytes()).api
    except (OSError, ValueError):
        refuse(OperatorError(f"no {NOTE} here: name the controller with --api URL or EDGEFLEET_API"), USAGE)


@contextmanager
def calling(api: str | None) -> Iterator[Client]:
    """Open a client; any error meanwhile ends the command with one line on stderr."""
    try:
        client = Client(find_api(api), os.environ.get(TOKEN))
    except Invalid as error:
        refuse(error, USAGE)
    try:
        yield client
    except BrokenPipeError:
        raise
    except WaitTimeout as error:
        refuse(error, TIMED_OUT)
    except (OperatorError, ContractError, ProfileError, OSError) as error:
        refuse(error)
    finally:
        client.close()


class HasId(Protocol):
    """Something with an id."""

    @property
    def id(self) -> str:
        """The id."""


T = TypeVar("T")
Found = TypeVar("Found", bound=HasId)
Found_co = TypeVar("Found_co", bound=HasId, covariant=True)


class Listed(Protocol[Found_co]):
    """A part of the client that gets things by id and lists them."""

    def get(self, name: str, /) -> Found_co:
        """Get one by its full id."""

    def all(self) -> Iterator[Found_co]:
        """Iterate over all."""


def chosen(
    listing: Callable[[int | None], Iterator[T]], limit: int | None, keep: Callable[[T], bool] | None
) -> list[T]:
    """List the wanted items; without a filter, the controller is asked for no more than `limit`.

    Args:
        listing: returns at most the given number of items, or all for None.
        limit: how many items at most; None means all.
        keep: filters the items; None keeps every one.
    """
    return list(listing(limit) if keep is None else islice(filter(keep, listing(None)), limit))


def one(listed: Listed[Found], given: str) -> Found:
    """Find one item by its id, or by the start or the end of it or of how it is shown, if that is no other item's too.

    Raises:
        ApiError: nothing matches, or several items do.
    """
    try:
        return listed.get(given)
    except NotFound:
        # One file may be a variant of several models: its id is still one.
        known = {item.id: item for item in listed.all()}
        shown = short_ids(known)
        found = [item for id_, item in known.items() if is_short_for(given, id_, shown[id_])]
        if not found:
            raise
    if len(found) > 1:
        told = sorted(short_ids(item.id for item in found).values())
        more = "" if len(told) <= CANDIDATES else f" or {len(told) - CANDIDATES} more"
        raise Invalid(f"'{given}' could be {', '.join(told[:CANDIDATES])}{more}: give one of these")
    return found[0]
