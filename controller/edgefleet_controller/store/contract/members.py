"""The fleet at a glance: of every device only what selectors and plans need, and which devices are new."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, Protocol

from edgefleet_contract.devices import DeviceStatus


class Member(NamedTuple):
    """A device as selectors and plans see it; `generation`, `variant` and `manifest` say what it runs of one model.

    If no model is asked for, or the device runs none of it, they are 0, None and None. `labels` are those that it
    reports and those that operators set, of which the latter count where both have a key;
    `features` names what its agent can do beyond 0.1.0, `added_as` the profile that it was added with.
    """

    id: str
    profile: str
    labels_json: str
    generation: int
    variant: str | None
    manifest: str | None
    features_json: str
    added_as: str | None = None

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels beside those of its profile."""
        return _labels(self.labels_json)

    @property
    def features(self) -> frozenset[str]:
        """What its agent can do beyond 0.1.0."""
        return _features(self.features_json)


class Members(Protocol):
    """Devices that have reported, without their reports: for reading tens of thousands at a time."""

    def all(
        self,
        model: str | None = None,
        status: DeviceStatus | None = "accepted",
        *,
        after: str = "",
        at_most: int | None = None,
    ) -> list[Member]:
        """Devices with one status, or any; MUST be ordered by id.

        Args:
            model: the model whose answering variant is wanted.
            status: only devices with this status; None for any.
            after: only devices whose ids come after this one.
            at_most: how many devices; None for all.
        """

    def some(self, devices: Iterable[str], model: str | None = None) -> list[Member]:
        """Those of these devices that belong to the fleet and have reported, in any order."""

    def revision(self) -> int:
        """The highest revision of any device so far.

        It MUST rise when a device reports for the first time, is admitted or annotated, or changes its labels or
        profile; a report that changes none of these MUST NOT raise it. It may start at 0 whenever the store is opened.
        """

    def newcomers(self, rollout: str, model: str, since: int | None) -> list[Member]:
        """Devices of the fleet that a rollout has no execution for, in any order.

        Args:
            rollout: the rollout's id.
            model: the model whose answering variant is wanted.
            since: only devices with a higher revision; None for all.
        """

    def given_later(self, devices: Iterable[str], model: str, rollout: str) -> set[str]:
        """Those of these devices whose last attempt at a model was for a rollout that started after this one."""

    def profiles(self) -> list[str]:
        """The profiles of the fleet's devices, each once; MUST be sorted."""


@lru_cache(maxsize=10_000)
def _labels(text: str) -> Mapping[str, str]:
    # Many devices share the same labels.
    return MappingProxyType(json.loads(text))


@lru_cache(maxsize=1_000)
def _features(text: str) -> frozenset[str]:
    return frozenset(json.loads(text))
