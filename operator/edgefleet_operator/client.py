"""A controller, from Python: every route of its API, in the contract's shapes."""

import time
from types import TracebackType
from typing import Self

import httpx

from edgefleet_contract.health import HealthView
from edgefleet_operator.api.builds import Builds
from edgefleet_operator.api.devices import Devices
from edgefleet_operator.api.models import Models
from edgefleet_operator.api.operations import Operations
from edgefleet_operator.api.profiles import Profiles
from edgefleet_operator.api.rollouts import Rollouts
from edgefleet_operator.api.segments import Segments
from edgefleet_operator.api.telemetry import Telemetry
from edgefleet_operator.api.variants import Variants
from edgefleet_operator.errors import ApiError, NoAnswer
from edgefleet_operator.http import Http

POLL_S = 0.1


class Client:
    """Speaks HTTP with one controller; a context manager, which closes the connection.

    Methods answer shapes of `edgefleet_contract`, listings are iterators that ask for a page as it is wanted, and
    whatever goes wrong is an `OperatorError`. A client may be used by one thread at a time.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Nothing is asked yet.

        Args:
            url: of the controller, as in http://127.0.0.1:8080.
            token: of its API, where it asks for one.
            timeout_s: seconds without an answer, after which a request has failed.
            transport: what carries requests, for tests; None is the network.
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
        self.telemetry = Telemetry(self._http)

    @property
    def url(self) -> str:
        """The controller's address."""
        return self._http.url

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def health(self) -> HealthView:
        """Whether the controller hears its broker, can write its state, and what it set aside."""
        return self._http.shape(HealthView, "GET", "/health")

    def metrics(self) -> str:
        """Counts in Prometheus' text form."""
        return self._http.answer("GET", "/metrics").text

    def wait_until_up(self, timeout_s: float) -> None:
        """Wait for the controller to answer and to hear its broker.

        Raises:
            NoAnswer: it doesn't within `timeout_s` seconds.
        """
        until = time.monotonic() + timeout_s
        while True:
            try:
                if self.health().status == "ok":
                    return
            except ApiError:
                pass
            if time.monotonic() > until:
                raise NoAnswer(f"the controller at {self.url} does not answer after {timeout_s:.0f} s")
            time.sleep(POLL_S)
