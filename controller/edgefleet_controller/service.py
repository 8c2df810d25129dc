"""The controller as a whole: its parts, opened in order and closed in reverse."""

from collections.abc import Callable

from edgefleet_compression.builds.worker_pool import Limits, WorkerPool, fair_memory_mb
from edgefleet_controller.access import open_access, refuse_strangers
from edgefleet_controller.clock import not_before
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.delivery.delivery import Delivery
from edgefleet_controller.delivery.manifests import KnownManifests
from edgefleet_controller.failpoints import reach
from edgefleet_controller.fleet.broker_watch import BrokerWatch
from edgefleet_controller.fleet.bus import ControllerBus
from edgefleet_controller.fleet.desired_publisher import DesiredPublisher
from edgefleet_controller.fleet.ingest import Ingest
from edgefleet_controller.fleet.presence_sweep import PresenceSweep
from edgefleet_controller.fleet.wants import AllowedWants
from edgefleet_controller.housekeeping import Housekeeping, Retention
from edgefleet_controller.models.operations import OperationQueue
from edgefleet_controller.models.workshop import Folders
from edgefleet_controller.rollouts.conductor import Conductor
from edgefleet_controller.rollouts.joiners import LateJoiners
from edgefleet_controller.rollouts.kept_pairs import KeptPairs
from edgefleet_controller.rollouts.undeliverable import UndeliverableHold
from edgefleet_controller.settings import ControllerSettings
from edgefleet_controller.store.sqlite import open_store
from edgefleet_controller.windows import RegionWindows
from edgefleet_process.locks import make_folder, own_folder
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.windows import check_zones


class Service:
    """One controller, the only process that uses its state folder.

    Raises:
        StateInUse: another controller uses the state folder.
        CredentialsError: other machines could connect, and there are no credentials.
    """

    def __init__(self, settings: ControllerSettings) -> None:
        refuse_strangers(settings)
        make_folder(settings.state)
        self._lock = own_folder(settings.state, "controller", "controller.lock")
        self._begun: set[str] = set()
        self.settings = settings
        self.catalogue = load_catalogue(settings.profiles)
        check_zones(self.catalogue)
        self.windows = RegionWindows(self.catalogue.region)
        self.access = open_access(settings)
        self.bus = ControllerBus(self.access.local_url, login=self.access.login, ca_file=self.access.ca_file)
        self.store = open_store(settings.state)
        not_before(self.store.fleet.newest_ms())
        self.blobs = BlobFolder(settings.state / "blobs")
        self.desired = DesiredPublisher(self.store, self.bus, self.windows)
        self.delivery = Delivery(self.store.fleet.registry, self.blobs, self.catalogue.link, self.bus)
        self.ingest = Ingest(
            self.store,
            self.desired,
            self.delivery.want,
            allows=AllowedWants(self.store.fleet, self.blobs).allows,
            windows=self.windows,
            accept_all=settings.accept_all,
            conflict_s=settings.conflict_s,
        )
        self._presence = PresenceSweep(self.store.fleet.devices, self.desired.hello, self.bus, settings.hello_jitter_s)
        self.manifests = KnownManifests(self.blobs)
        self.pairs = KeptPairs(self.store.fleet, self.blobs)
        self.conductor = Conductor(
            self.store,
            self.desired.desire,
            LateJoiners(self.store.fleet, self.catalogue, self.pairs.refused),
            tick_s=settings.tick_s,
            connected=lambda: self.bus.connected,
            windows=self.windows,
        )
        folders = _folders(settings)
        self.operations = OperationQueue(self.store.fleet, self.blobs, folders, _workers(settings))
        kept = Retention(windows_h=settings.telemetry_keep_h, rollups_days=settings.rollups_keep_days)
        self.housekeeping = Housekeeping(self.store, self.blobs, (folders.cache, folders.work), kept)

    def start(self) -> None:
        """Start the embedded broker, then receiving, sending and deciding.

        Raises:
            BrokerError: the broker cannot be used. Whatever was started must be stopped, here as after any failure.
        """
        self.take_broker()
        self.start_parts()

    def take_broker(self) -> None:
        """Start the embedded broker, or adopt it: may take long, and a signal may interrupt it.

        Raises:
            BrokerError: the broker cannot be used.
        """
        if self.access.broker:
            self._begun.add("broker")
            self.access.broker.take_over()
            reach("broker_taken")

    def start_parts(self) -> None:
        """Start receiving, sending and deciding; no signal may interrupt it, or a part would run on after `stop`."""
        steps: dict[str, Callable[[], None]] = {
            "operations": self.operations.start,
            "ingest": self.ingest.start,
            "delivery": self.delivery.start,
            "bus": lambda: self.bus.start(on_message=self.ingest.offer, on_subscribed=self._presence.begin),
            "conductor": lambda: self.conductor.start(before_tick=self._watches()),
            "housekeeping": self.housekeeping.start,
        }
        for name, begin in steps.items():
            begin()
            self._begun.add(name)
        reach("parts_started")
        if self.access.broker:
            self.access.broker.keep()
            self._begun.add("kept broker")

    def stop(self) -> None:
        """Stop what was started, including the embedded broker.

        After a start that failed, a broker that was adopted runs on: devices have it from an earlier controller.
        """
        steps: dict[str, Callable[[], None]] = {
            "housekeeping": self.housekeeping.stop,
            "conductor": self.conductor.stop,
            "operations": self.operations.stop,
            "delivery": self.delivery.stop,
            "bus": self.bus.stop,
            "ingest": self.ingest.stop,
        }
        for name, end in steps.items():
            if name in self._begun:
                end()
        broker = self.access.broker
        if broker and "broker" in self._begun and ("kept broker" in self._begun or not broker.adopted):
            broker.stop()
        self.store.close()
        self._lock.close()

    def _watches(self) -> list[Callable[[], None]]:
        """The checks to run before every tick."""
        hold = UndeliverableHold(self.store.fleet, self.delivery, self.conductor.halt)
        broker = self.access.broker
        watched = [BrokerWatch(broker, self.settings.state).tick] if broker else []
        return [self._presence.tick, *watched, hold.tick]


def _folders(settings: ControllerSettings) -> Folders:
    return Folders(cache=settings.state / "cache", work=settings.state / "work", searches=settings.state / "searches")


def _workers(settings: ControllerSettings) -> WorkerPool:
    memory_mb = settings.build_mb or fair_memory_mb(settings.build_workers)
    return WorkerPool(settings.build_workers, Limits(settings.build_s, memory_mb))
