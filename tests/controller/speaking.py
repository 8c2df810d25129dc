"""Devices of a rollout that speak: from the message to what the conductor makes of it."""

from collections.abc import Callable

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_contract.rollouts import ExecutionRecord, WaveRecord
from edgefleet_controller.clock import now_ms
from edgefleet_controller.fleet.desired_publisher import DesiredPublisher
from edgefleet_controller.fleet.ingest import Ingest
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.rollouts.conductor import Conductor
from edgefleet_controller.store import Store
from edgefleet_protocol import topics
from edgefleet_protocol.messages import ReportedState, TelemetryWindow, encode

OLD, NEW = "a" * 64, "b" * 64
MINE, OTHER = "1" * 32, "2" * 32
GIVEN = 4
WAVE = [f"d{number}" for number in range(5)]


class Silent:
    """Takes the bus's one method and says nothing."""

    def publish(self, topic: str, data: bytes, *, qos: int = 0, retain: bool = False) -> None:
        pass


class Nobody:
    """No late joiners."""

    def look(self, rollout: RolloutRecord) -> list[ExecutionRecord]:
        return []

    def drop(self, rollout: str) -> None:
        pass


class Fleet:
    """Devices that speak, in a wave that soaks; whoever is not in it is accepted all the same."""

    def __init__(self, store: Store, rollout: RolloutRecord, reported: Callable[..., ReportedState]) -> None:
        self._store, self._rollout, self._reported = store, rollout, reported
        self._ingest = Ingest(store, DesiredPublisher(store, Silent()), lambda *_: None, allows=lambda *_: True)
        self.conductor = Conductor(store, lambda told: None, Nobody(), tick_s=60)
        self._seq = 0

    def enlist(self, *devices: str, incarnation: str = MINE) -> None:
        for device in devices:
            self._store.fleet.devices.admit(AdmissionRecord(device=device, accepted_ms=1))
            self._store.fleet.devices.put_report(device, self._reported(incarnation=incarnation), 1)

    def loses(self, *devices: str) -> None:
        for device in devices:
            assert self._store.fleet.devices.forget(device, now_ms())

    def says(self, device: str, variant: str, labelled: int, correct: int, **fields: object) -> None:
        self._seq += 1
        given = {"incarnation": MINE, "generation": GIVEN if variant == NEW else 1, **fields}
        window = TelemetryWindow.model_validate(
            {
                **{"seq": self._seq, "first_kept_seq": 1, "model": "fashion", "model_version": 1, "variant": variant},
                **{
                    "duration_ms": 1,
                    "requests": labelled,
                    "labelled": labelled,
                    "correct": correct,
                    "labels_checked": True,
                    **given,
                },
            }
        )
        self._ingest._commit([(topics.up(device, "telemetry"), encode(window))])
        assert not self._ingest.set_aside

    @property
    def wave(self) -> WaveRecord:
        """The wave after a tick now."""
        self.conductor.tick(now_ms())
        return self._store.fleet.rollouts.get(self._rollout.id).waves[0]
