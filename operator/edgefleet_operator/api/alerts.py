"""Lists alerts, what needs an operator's look."""

from collections.abc import Iterator

from edgefleet_contract.alerts import AlertRecord, AlertState
from edgefleet_contract.pages import Page
from edgefleet_operator.http import Http


class Alerts:
    """`client.alerts`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def all(self, state: AlertState | None = None, limit: int | None = None) -> Iterator[AlertRecord]:
        """Iterate over alerts, open and ended ones or only those in `state`, at most `limit`."""
        return self._http.items(Page[AlertRecord], "/alerts", limit, state=state)
