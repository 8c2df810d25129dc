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
from edgefleet_controller.fleet.counts import MESSAGE_KINDS, NOT_TAKEN, OTHERS, Counted
from edgefleet_controller.service import Service
from edgefleet_controller.store.contract.devices import DeviceGroup, ModelGroup

router = APIRouter(tags=["metrics"])

_NAMES: dict[Counted, str] = {"windows": "windows_ingested"}
"""Where a metric is called otherwise than its counter."""


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
        for kind in MESSAGE_KINDS:
            received.add_metric((kind,), counts[kind])
        yield received
        text = f"Messages not taken: {'; '.join(f'{why}, {said}' for why, said in NOT_TAKEN.items())}."
        untaken = CounterMetricFamily("edgefleet_messages_not_taken", text, labels=("why",))
        for why in NOT_TAKEN:
            untaken.add_metric((why,), counts[why])
        yield untaken
        for name, said in OTHERS.items():
            yield CounterMetricFamily(f"edgefleet_{_NAMES.get(name, name)}", said, counts[name])
        text = "Telemetry windows that devices of the fleet had dropped before the controller got them."
        yield GaugeMetricFamily("edgefleet_windows_lost", text, service.store.telemetry.windows.lost())
        text = "Bytes of chunks sent to the broker since the start, by channel."
        sent = CounterMetricFamily("edgefleet_delivered_bytes", text, labels=("channel",))
        for channel, size_bytes in sorted(service.delivery.delivered_bytes().items()):
            sent.add_metric((channel,), size_bytes)
        yield sent
        text = "Connections made to the broker since the start; above 1, it was lost."
        yield CounterMetricFamily("edgefleet_broker_connections", text, bus.counters.connections)
