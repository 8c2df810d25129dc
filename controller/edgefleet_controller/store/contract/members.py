"""The fleet at a glance: of every device just what a selector and a plan ask, and who has appeared since."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, Protocol

from edgefleet_contract.devices import DeviceStatus


class Member(NamedTuple):
    """A device as selectors and plans see it; `generation`, `variant` and `manifest` are what it runs of one model.

    Without a model, or where it runs none, they are 0, None and None. `labels` are the device's own, `features` what
    its agent can do beyond 0.1.0.
    """

    id: str
    profile: str
    labels_json: str
    generation: int
    variant: str | None
    manifest: str | None
    features_json: str

    @property
    def labels(self) -> Mapping[str, str]:
        """The device's own labels."""
        return _labels(self.labels_json)

    @property
    def features(self) -> frozenset[str]:
        """What its agent can do beyond 0.1.0."""
        return _features(self.features_json)


class Members(Protocol):
    """Devices that have reported, without their reports: read for tens of thousands at a time."""

    def all(
        self,
        model: str | None = None,
        status: DeviceStatus | None = "accepted",
        *,
        after: str = "",
        at_most: int | None = None,
    ) -> list[Member]:
        """Devices of one status, or of any; MUST be by id.

        Args:
            model: whose answering variant is wanted.
            status: None for every device.
            after: only devices whose ids come after this one.
            at_most: how many; None for all of them.
        """

    def some(self, devices: Iterable[str], model: str | None = None) -> list[Member]:
        """Those of these devices that belong to the fleet and have reported, in any order."""

    def revision(self) -> int:
        """What has moved so far has at most this revision.

        It MUST be higher after a device has reported for the first time, was admitted, or changed its labels or its
        profile; a report that changes none of these MUST NOT raise it. It may begin at 0 whenever the store is opened.
        """

    def newcomers(self, rollout: str, model: str, since: int | None) -> list[Member]:
        """Devices of the fleet that a rollout has no execution for, in any order.

        Args:
            rollout: which one.
            model: whose answering variant is wanted.
            since: only those that have moved after this revision; None for all.
        """

    def given_later(self, devices: Iterable[str], model: str, rollout: str) -> set[str]:
        """Those of these devices whose last attempt at a model was for a rollout that began after this one."""

    def profiles(self) -> list[str]:
        """Every profile that a device of the fleet has, each once; MUST be in order."""


@lru_cache(maxsize=10_000)
def _labels(text: str) -> Mapping[str, str]:
    # Whole groups of devices have the same ones.
    return MappingProxyType(json.loads(text))


@lru_cache(maxsize=1_000)
def _features(text: str) -> frozenset[str]:
    return frozenset(json.loads(text))
