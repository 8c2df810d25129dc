"""How commands reach the controller, and what they have in common."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from edgefleet_contract.errors import ContractError
from edgefleet_operator.cli.ending import INTERRUPTED, USAGE, refuse
from edgefleet_operator.client import Client
from edgefleet_operator.errors import ApiError, OperatorError
from edgefleet_operator.http import at
from edgefleet_profiles.errors import ProfileError

Json = dict[str, Any]

TOKEN = "EDGEFLEET_TOKEN"  # noqa: S105 - the name of a variable
NOTE = Path(".edgefleet/controller/controller.json")
PAGE = 1000

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
        url = given or str(json.loads(NOTE.read_text(encoding="utf-8"))["api"])
        if httpx.URL(url).scheme not in ("http", "https"):
            raise httpx.InvalidURL("it begins neither with http:// nor with https://")
    except (OSError, ValueError, KeyError, TypeError):
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
    except (OperatorError, ContractError, ProfileError, OSError) as error:
        refuse(error)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    finally:
        client.close()


def listing(
    client: Client, path: str, limit: int | None, keep: Callable[[Json], bool] | None = None, **query: Any
) -> list[Json]:
    """The items of a listing that are wanted, through all its pages."""
    page = min(limit or PAGE, PAGE) if keep is None else PAGE
    return list(islice(filter(keep, client.items(path, limit=page, **query)), limit))


def one(client: Client, path: str, given: str) -> Json:
    """An item by its id, or by the beginning of it if that is enough.

    Raises:
        ApiError: there is none, or there are several.
    """
    try:
        return dict(client.get(at(path, given)))
    except ApiError as error:
        if error.status != httpx.codes.NOT_FOUND:
            raise
        found = [item for item in listing(client, path, None) if item["id"].startswith(given)]
        if not found:
            raise
    if len(found) > 1:
        raise ApiError(f"'{given}' could be {', '.join(item['id'] for item in found[:3])}: write more of it")
    return found[0]
