"""Sends requests, and turns answers into shapes of the contract or errors of ours."""

import ssl
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from edgefleet_contract.faults import first_fault
from edgefleet_contract.pages import Page
from edgefleet_contract.problems import Problem
from edgefleet_operator.connecting import connect, controller_url, way_to
from edgefleet_operator.errors import ApiError, Invalid, NoAnswer, NotUnderstood, error_of
from edgefleet_process.causes import behind, in_words

BASE = "/api/v1"
MOST_ITEMS = 1000
"""The most items on a page."""
LONGEST_S = 7 * 86_400.0

AnyShape = TypeVar("AnyShape", bound=BaseModel)
AnyPage = TypeVar("AnyPage", bound=Page[Any])
Item = TypeVar("Item")


class Http:
    """A connection to one controller."""

    def __init__(self, url: str, token: str | None, timeout_s: float, transport: httpx.BaseTransport | None) -> None:
        self.url = controller_url(url)
        if not 0 < timeout_s <= LONGEST_S:
            raise Invalid(f"timeout_s is {timeout_s}: it must be above 0 and at most {LONGEST_S:g} seconds")
        self.timeout_s = timeout_s
        self._http = connect(self.url, token, timeout_s, transport)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def answer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> httpx.Response:
        """Send a request and return the answer, if the controller grants it.

        Args:
            method: for example GET.
            path: the path after the controller's URL.
            query: query parameters; None values are left out.
            body: plain values, sent as JSON.
            content: bytes to send instead of `body`.
            headers: extra headers.
            timeout_s: seconds to wait for the answer; None means the client's timeout.

        Raises:
            ApiError: the controller refused the request or didn't answer.
        """
        asked: dict[str, Any] = {"params": {k: v for k, v in (query or {}).items() if v is not None}}
        if body is not None:
            asked["json"] = body
        if content is not None:
            asked["content"] = content
        if timeout_s is not None:
            asked["timeout"] = timeout_s
        if self._http.is_closed:
            raise Invalid("this client is closed: make a new one")
        try:
            answer = self._http.request(method, path, headers=dict(headers or {}), **asked)
        except httpx.HTTPError as error:
            cause = behind(error)
            advice = ": does it speak http://?" if isinstance(cause, ssl.SSLError) else ""
            raise NoAnswer(f"no answer from {self.url}{way_to(self.url)}: {in_words(cause)}{advice}") from None
        except (httpx.InvalidURL, UnicodeError) as error:
            raise Invalid(f"the request cannot be sent: {error}") from None
        if answer.is_success:
            return answer
        raise self._refusal(answer)

    def shape(self, shape: type[AnyShape], method: str, path: str, **how: Any) -> AnyShape:
        """Send a request and parse the answer; fields that only a newer controller knows are ignored.

        Args:
            shape: the answer's shape in the contract.
            method: for example GET.
            path: the path after `/api/v1`.
            how: as in `answer`; if the body is a shape, only its set fields are sent.

        Raises:
            ApiError: the controller refused the request, didn't answer, or answered something else.
        """
        if isinstance(body := how.get("body"), BaseModel):
            how["body"] = body.model_dump(mode="json", exclude_unset=True)
        answer = self.answer(method, f"{BASE}{path}", **how)
        try:
            return shape.model_validate_json(answer.content, extra="ignore")
        except ValidationError as error:
            fault = first_fault(error.errors())
            raise NotUnderstood(
                f"the answer of {self.url} to {method} {path} does not match this version's {shape.__name__} ({fault})",
                answer.status_code,
            ) from None

    def pages(self, page: type[AnyPage], path: str, size: int = MOST_ITEMS, **query: Any) -> Iterator[AnyPage]:
        """Iterate over the pages of a listing, fetching each as needed.

        Raises:
            ApiError: as in `shape`.
        """
        cursor = None
        seen: set[str] = set()
        while True:
            found = self.shape(page, "GET", path, query={**query, "limit": size, "cursor": cursor})
            yield found
            if (cursor := found.next) is None:
                return
            if cursor in seen:
                raise NotUnderstood(f"{path} of {self.url} begins again: page '{cursor[:100]}' came twice")
            seen.add(cursor)

    def items(self, page: type[Page[Item]], path: str, limit: int | None, **query: Any) -> Iterator[Item]:
        """Iterate over the items of a listing across its pages, at most `limit` of them; None means all.

        Raises:
            ApiError: as in `shape`.
        """
        pages = self.pages(page, path, page_size(limit), **query)
        return islice((item for found in pages for item in found.items), limit)

    def _refusal(self, answer: httpx.Response) -> ApiError:
        """What a refusal says was wrong; one that is not a controller's problem+json says so."""
        try:
            detail = Problem.model_validate_json(answer.content, extra="ignore").detail
        except ValidationError:
            target = f" (to {answer.headers['Location'][:200]})" if "Location" in answer.headers else ""
            detail = f"{self.url} answers {answer.status_code} {answer.reason_phrase}{target}"
            if answer.status_code < 500 and answer.status_code != 401:  # a proxy may answer these for a controller
                return NotUnderstood(f"{detail}, which is not a controller's answer: check the URL", answer.status_code)
        return error_of(answer.status_code, detail, answer.headers.get("Retry-After"))


def page_size(limit: int | None) -> int:
    """How many items to ask for at once, to get `limit` in all; None means all.

    Raises:
        Invalid: the limit is not a number of items.
    """
    if limit is None:
        return MOST_ITEMS
    if not isinstance(limit, int) or not 1 <= limit <= sys.maxsize:
        raise Invalid(f"limit is {limit}: it must be a whole number from 1 to {sys.maxsize}, or None for all")
    return min(limit, MOST_ITEMS)


@contextmanager
def refusing() -> Iterator[None]:
    """Turn pydantic's refusal of a request into an error of ours.

    Raises:
        Invalid: a value is wrong.
    """
    try:
        yield
    except ValidationError as error:
        raise Invalid(first_fault(error.errors())) from None


def at(path: str, *names: str) -> str:
    """Build the path of a named thing, quoting whatever was typed.

    Raises:
        Invalid: a name is empty or contains a slash.
    """
    if not all(names):
        raise Invalid(f"a name is empty: say which of {path} you mean")
    if slashed := next((name for name in names if "/" in name), None):
        raise Invalid(f"there is no '{slashed}': write the name alone, without '/'")
    if dots := next((name for name in names if name in (".", "..")), None):
        raise Invalid(f"there is no '{dots}': a name has letters or digits")
    try:
        return "/".join([path, *(quote(name, safe="@") for name in names)])
    except UnicodeError:
        raise Invalid(f"{ascii(names)[:200]} holds characters that no name has") from None


def at_profile(path: str, profile: str) -> str:
    """Build the path of something about a profile.

    Raises:
        Invalid: it is not written REGION/HARDWARE/LINK.
    """
    parts = profile.split("/")
    if len(parts) != 3 or not all(parts):
        raise Invalid(f"'{profile}' is not a profile: write region/hardware/link, for example eu/rpi4/lte")
    return at(path, *parts)
