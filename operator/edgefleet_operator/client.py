"""The Python client: every route of a controller's API, typed by the contract's shapes."""

import time
from types import TracebackType
from typing import Self

import httpx

from edgefleet_contract.health import HealthView
from edgefleet_operator.api.alerts import Alerts
from edgefleet_operator.api.builds import Builds
from edgefleet_operator.api.devices import Devices
from edgefleet_operator.api.models import Models
from edgefleet_operator.api.operations import Operations
from edgefleet_operator.api.profiles import Profiles
from edgefleet_operator.api.rollouts import Rollouts
from edgefleet_operator.api.segments import Segments
from edgefleet_operator.api.telemetry import Telemetry
from edgefleet_operator.api.variants import Variants
from edgefleet_operator.errors import ControllerFault, NoAnswer, Unavailable
from edgefleet_operator.http import Http

POLL_S = 0.1


class Client:
    """A client of one controller; as a context manager, it closes its connection at the end.

    Methods return shapes of `edgefleet_contract`, listings are iterators that fetch pages as needed, and every error
    is an `OperatorError`. Use a client from one thread at a time.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Make a client; this sends nothing yet.

        Args:
            url: the controller's URL, for example http://127.0.0.1:8080.
            token: the API's token, if it requires one.
            timeout_s: seconds of silence after which a request fails, at most a week.
            transport: carries the requests, for tests; None means the network.

        Raises:
            Invalid: `url` is not an HTTP URL, `timeout_s` is out of range, or `token` has characters that no token has.
        """
        self._http = Http(url, token, timeout_s, transport)
        self.models = Models(self._http)
        self.variants = Variants(self._http)
        self.builds = Builds(self._http)
        self.operations = Operations(self._http)
        self.devices = Devices(self._http)
        self.segments = Segments(self._http)
        self.profiles = Profiles(self._http)
        self.rollouts = Rollouts(self._http)
        self.alerts = Alerts(self._http)
        self.telemetry = Telemetry(self._http)

    @property
    def url(self) -> str:
        """The controller's URL."""
        return self._http.url

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def health(self) -> HealthView:
        """Get the controller's health: its broker connection, its state folder, and the messages it set aside."""
        return self._http.shape(HealthView, "GET", "/health")

    def metrics(self) -> str:
        """Get the metrics in Prometheus text format."""
        return self._http.answer("GET", "/metrics").content.decode(errors="replace")

    def wait_until_up(self, timeout_s: float) -> None:
        """Wait until the controller answers and is connected to its broker.

        Raises:
            NoAnswer: it isn't within `timeout_s` seconds.
            ApiError: it answers, and refuses: the token is wrong, or this is not a controller.
        """
        until = time.monotonic() + timeout_s
        while True:
            try:
                if self.health().status == "ok":
                    return
            except (NoAnswer, ControllerFault, Unavailable):
                pass
            if time.monotonic() > until:
                raise NoAnswer(f"the controller at {self.url} is not up after {timeout_s:.0f} s: see its log")
            time.sleep(POLL_S)
