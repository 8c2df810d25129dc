"""`/metrics` for Prometheus: counts by kind, never by device, so that the page stays small for a large fleet."""

from collections import Counter
from collections.abc import Iterator

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edgefleet_controller.alerts import KINDS
from edgefleet_controller.api.dependencies import TheService
from edgefleet_controller.service import Service
from edgefleet_controller.store.contract.devices import DeviceGroup, ModelGroup

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(service: TheService) -> Response:
    """Counts in Prometheus' text format; at /metrics, not under /api/v1."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Fleet(service))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class Fleet(Collector):
    """Reads everything from the service at each scrape; keeps nothing."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """All metric families, with current values."""
        yield from self._of_the_fleet()
        yield from self._of_the_traffic()
        yield from self._service.conductor.tick_seconds.collect()

    def _of_the_fleet(self) -> Iterator[Metric]:
        fleet = self._service.store.fleet
        text = "Devices that have reported."
        devices = GaugeMetricFamily("edgefleet_devices", text, labels=DeviceGroup._fields)
        for device_group, count in fleet.devices.count_devices().items():
            devices.add_metric(device_group, count)
        yield devices
        text = "Device ids under which two agents report alternately."
        yield GaugeMetricFamily("edgefleet_device_conflicts", text, fleet.conflicts.count())
        text = "Accepted devices by the variant they committed and the phase of their last attempt; empty if none."
        answering = GaugeMetricFamily("edgefleet_device_models", text, labels=ModelGroup._fields)
        for model_group, count in fleet.devices.count_models().items():
            answering.add_metric(model_group, count)
        yield answering
        rollouts = GaugeMetricFamily("edgefleet_rollouts", "Rollouts by state.", labels=("state",))
        for state, count in sorted(Counter(rollout.state for rollout in fleet.rollouts.all()).items()):
            rollouts.add_metric((state,), count)
        yield rollouts
        open_ = Counter(alert.kind for alert in fleet.alerts.all(state="open"))
        alerts = GaugeMetricFamily("edgefleet_alerts", "Open alerts by kind.", labels=("kind",))
        for kind in sorted(KINDS.keys() | open_.keys()):
            alerts.add_metric((kind,), open_[kind])
        yield alerts

    def _of_the_traffic(self) -> Iterator[Metric]:
        service = self._service
        counts, bus = service.ingest.counts, service.bus
        text = "Whether the controller is connected to the broker."
        yield GaugeMetricFamily("edgefleet_broker_connected", text, int(bus.connected))
        received = CounterMetricFamily("edgefleet_messages", "Messages from devices, by kind.", labels=("kind",))
        for kind in ("reported", "presence", "telemetry", "want"):
            received.add_metric((kind,), counts[kind])
        yield received
        text = "Messages not taken: unreadable, from pending devices, or arrived while the queue was full."
        untaken = CounterMetricFamily("edgefleet_messages_not_taken", text, labels=("why",))
        for why in ("set_aside", "of_pending", "dropped", "not_stored"):
            untaken.add_metric((why,), counts[why])
        yield untaken
        text = "Reports of an attempt in a phase that only newer agents know."
        yield CounterMetricFamily("edgefleet_newer_phases", text, counts["newer_phases"])
        yield CounterMetricFamily("edgefleet_windows_ingested", "Telemetry windows stored.", counts["windows"])
        text = "Telemetry windows that cannot be read or contradict themselves; nothing of them counts."
        yield CounterMetricFamily("edgefleet_windows_set_aside", text, counts["windows_set_aside"])
        text = "Telemetry windows that a device had dropped before the controller got them."
        yield CounterMetricFamily("edgefleet_windows_lost", text, service.store.telemetry.windows.lost())
        sent = CounterMetricFamily("edgefleet_delivered_bytes", "Bytes of chunks, by channel.", labels=("channel",))
        for channel, size_bytes in sorted(service.delivery.delivered_bytes().items()):
            sent.add_metric((channel,), size_bytes)
        yield sent
        yield CounterMetricFamily(
            "edgefleet_broker_connections", "Connections to the broker.", bus.counters.connections
        )
