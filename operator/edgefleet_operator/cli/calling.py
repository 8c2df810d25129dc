"""How commands reach the controller, and what they have in common."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Protocol, TypeVar

import httpx
import typer

from edgefleet_contract.announcement import ANNOUNCED_IN, Announcement
from edgefleet_contract.errors import ContractError
from edgefleet_operator.cli.ending import INTERRUPTED, TIMED_OUT, USAGE, refuse
from edgefleet_operator.client import Client
from edgefleet_operator.errors import Invalid, NotFound, OperatorError, WaitTimeout
from edgefleet_profiles.errors import ProfileError

TOKEN = "EDGEFLEET_TOKEN"  # noqa: S105 - the name of a variable
NOTE = Path(".edgefleet/controller") / ANNOUNCED_IN

Api = Annotated[
    str | None,
    typer.Option("--api", envvar="EDGEFLEET_API", help="URL of the controller; default: that of ./.edgefleet"),
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON, and nothing else, to stdout")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="at most so many; default: all")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0, help="seconds to wait at most; then the exit code is 4")
]


def find_api(given: str | None) -> str:
    """The URL of the controller: as given, or as the controller of this folder has written it down.

    Raises:
        typer.Exit: there is none, or it is no URL; with the exit code for wrong usage.
    """
    try:
        url = given or Announcement.model_validate_json(NOTE.read_bytes()).api
        if httpx.URL(url).scheme not in ("http", "https"):
            raise httpx.InvalidURL("it begins neither with http:// nor with https://")
    except (OSError, ValueError):
        refuse(OperatorError(f"no {NOTE} here: name the controller with --api URL or EDGEFLEET_API"), USAGE)
    except httpx.InvalidURL as error:
        refuse(OperatorError(f"'{url}' is no URL of a controller: {error}"), USAGE)
    return url.rstrip("/")


@contextmanager
def calling(api: str | None) -> Iterator[Client]:
    """A client; whatever is refused meanwhile ends the command with one line on stderr."""
    client = Client(find_api(api), os.environ.get(TOKEN))
    try:
        yield client
    except BrokenPipeError:
        raise
    except WaitTimeout as error:
        refuse(error, TIMED_OUT)
    except (OperatorError, ContractError, ProfileError, OSError) as error:
        refuse(error)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    finally:
        client.close()


class HasId(Protocol):
    """What is named by an id."""

    @property
    def id(self) -> str:
        """Its id."""


T = TypeVar("T")
Found = TypeVar("Found", bound=HasId)
Found_co = TypeVar("Found_co", bound=HasId, covariant=True)


class Listed(Protocol[Found_co]):
    """A part of the client that has things by their ids."""

    def get(self, name: str, /) -> Found_co:
        """One of them, by its whole id."""

    def all(self) -> Iterator[Found_co]:
        """All of them."""


def chosen(
    listing: Callable[[int | None], Iterator[T]], limit: int | None, keep: Callable[[T], bool] | None
) -> list[T]:
    """The items of a listing that are wanted; where all are, the controller is asked for no more than `limit`.

    Args:
        listing: gives at most so many items, or all.
        limit: how many are wanted at most; None is all.
        keep: which of them; None is every one.
    """
    return list(listing(limit) if keep is None else islice(filter(keep, listing(None)), limit))


def one(listed: Listed[Found], given: str) -> Found:
    """One of what is listed, by its id, or by the beginning of it if that is enough.

    Raises:
        ApiError: there is none, or there are several.
    """
    try:
        return listed.get(given)
    except NotFound:
        found = [item for item in listed.all() if item.id.startswith(given)]
        if not found:
            raise
    if len(found) > 1:
        raise Invalid(f"'{given}' could be {', '.join(item.id for item in found[:3])}: write more of it")
    return found[0]
