"""Whatever is asked of REST, the answer is one that the OpenAPI description declares; errors are problems.

`EDGEFLEET_X_FUZZ_EXAMPLES=2000` looks longer; the same examples are tried each time.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode, HookContext
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    negative_data_rejection,
    positive_data_acceptance,
)
from tests.service import api_of, hold_example, running_service

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_contract.operations import OperationRecord
from edgefleet_contract.rollouts import RolloutSpec
from edgefleet_contract.segments import SegmentRecord
from edgefleet_controller.api.app import create_app
from edgefleet_controller.credentials import make_credentials
from edgefleet_controller.records import ChoiceRecord, VariantRecord
from edgefleet_controller.rollouts.launch import start_rollout
from edgefleet_controller.service import Service
from edgefleet_controller.store.contract.windows import StoredWindow
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.messages import Facts, ReportedState, TelemetryWindow

# What no schema can say: the bytes of a digest, the beginning of a file, the files of a model, names of recipes; and
# what the schema does not say: that exactly one field names the devices of a rollout, and that its waves rise to all of
# them; which labels are facts; and what a plain text is.
REFUSES_VALID_DATA = {
    *("/api/v1/blobs/{sha256}", "/api/v1/blobs/{sha256}/offer", "/api/v1/models", "/api/v1/builds"),
    *("/api/v1/devices/{device}/labels", "/api/v1/devices/{device}/note"),
    *("/api/v1/rollouts", "/api/v1/rollouts/plan"),
}
EXAMPLES = int(os.environ.get("EDGEFLEET_X_FUZZ_EXAMPLES", "8"))
VARIANT, MANIFEST = "b" * 64, "c" * 64

schema = schemathesis.openapi.from_dict(create_app().openapi())
# Unknown query parameters are ignored, like unknown fields on the wire.
schema.config.generation.update(modes=list(GenerationMode), deterministic=True, allow_extra_parameters=False)
schema.config.phases.coverage.generate_duplicate_query_parameters = True

LABELS = st.sampled_from(["region", "hardware", "link", "metered", "x-y_0", "in"])
VALUES = st.sampled_from(["eu", "rpi4", "lte", "0", "notin"])
CONDITIONS = st.one_of(
    LABELS,
    LABELS.map("!{}".format),
    st.builds("{}{}{}".format, LABELS, st.sampled_from(["=", "==", " != "]), VALUES),
    st.builds("{} {} ({})".format, LABELS, st.sampled_from(["in", "notin"]), VALUES),
)
schemathesis.openapi.format("selector", st.lists(CONDITIONS, max_size=4).map(",".join))
schemathesis.openapi.format("profile", st.sampled_from(["eu/rpi4/lte", "na/x86-avx2/wifi"]))


@schema.hook
def before_generate_path_parameters(context: HookContext, strategy: st.SearchStrategy) -> st.SearchStrategy:
    """Half of the names are those of things that are there."""
    return st.one_of(strategy, strategy.map(of_things_that_are_there))


@schema.hook
def before_generate_body(context: HookContext, strategy: st.SearchStrategy) -> st.SearchStrategy:
    """Half of the bodies speak of things that are there."""
    return st.one_of(strategy, strategy.map(of_things_that_are_there))


THERE: dict[str, Any] = {
    **{"ref": "fashion@1", "device": "a", "variant": VARIANT, "operation_id": "01", "name": "europe"},
    **{"region": "eu", "hardware": "rpi4", "link": "lte", "profile": "eu/rpi4/lte", "segment": "europe"},
}


def of_things_that_are_there(generated: Any) -> Any:
    """The same parameters or body, with known names where it has names; what is wrong on purpose stays so."""
    if getattr(generated, "meta", None) is not None:
        return generated
    value = getattr(generated, "value", generated)
    if not isinstance(value, dict):
        return generated
    known = THERE | {"rollout": Live.rollout, "model": "fashion" if "version" in value else "fashion@1", "version": 1}
    changed = {key: known.get(key, held) for key, held in value.items()}
    return changed if value is generated else replace(generated, value=changed)


class Live:
    """The service that is asked, with one of each thing in its store."""

    rollout = "01"

    def __init__(self, service: Service, url: str, token: str) -> None:
        self.service, self.url = service, url
        self.headers = {"Authorization": f"Bearer {token}"}

    def furnish(self) -> None:
        """Put back what a former test may have taken away."""
        store = self.service.store
        hold_example(self.service)
        store.fleet.registry.put_variants([VARIANT_RECORD], [CHOICE])
        for device in ("a", "b"):
            store.fleet.devices.admit(AdmissionRecord(device=device, profile="eu/rpi4/lte", accepted_ms=1))
        for device in ("a", "b", "pending"):
            store.fleet.devices.put_report(device, REPORT.model_copy(update={"report": time.monotonic_ns()}), 1)
        store.fleet.segments.put(SegmentRecord(name="europe", selector="region=eu"))
        store.fleet.operations.put(
            OperationRecord(id="01", kind="compress", target="fashion@1", created_ms=1, changed_ms=2)
        )
        store.telemetry.windows.put([StoredWindow("a", WINDOW, REPORT.facts, 1_700_000_000_000)])
        if not store.fleet.rollouts.all("running", "paused", "rolling_back"):
            spec = RolloutSpec(model="fashion", version=1, segment="europe")
            Live.rollout = start_rollout(store.fleet, self.service.catalogue, spec).id


FACTS = Facts(hardware="rpi4", region="eu", link="lte", arch="aarch64", cores=4, ram_mb=4096, simulated=True)
REPORT = ReportedState(incarnation="0" * 32, boot=1, report=1, agent_version="0.1.0", facts=FACTS)
HISTOGRAM = LatencyHistogram()
HISTOGRAM.record(0.001)
WINDOW = TelemetryWindow.model_validate(
    {
        **{"incarnation": "0" * 32, "seq": 1, "first_kept_seq": 1, "model": "fashion", "model_version": 1},
        **{"variant": VARIANT, "generation": 1, "duration_ms": 1000, "requests": 1, "latency": HISTOGRAM.encode()},
    }
)
VARIANT_RECORD = VariantRecord.model_validate(
    {
        **{"id": VARIANT, "model": "fashion", "version": 1, "recipe": "fp32", "title": "as it is"},
        **{"instruction_sets": (), "manifest": MANIFEST, "manifest_bytes": 10, "metrics": {}, "runtime": {}},
        **{"delivery_bytes": {49152: 100, 4096: 110}, "steps": [], "created_ms": 1},
    }
)
CHOICE = ChoiceRecord(model="fashion", version=1, profile="eu/rpi4/lte", variant=VARIANT, reasons={VARIANT: "ok"})


class NoBuilds:
    """Takes every build and does not begin it: what is looked at here is the asking."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.searches = service.settings.state / "searches"

    def submit(self, *_: object) -> OperationRecord:
        return self._service.store.fleet.operations.get("01")

    def cancel(self, operation_id: str) -> OperationRecord:
        return self._service.store.fleet.operations.get(operation_id)

    def search(self, *_: object) -> OperationRecord:
        return self._service.store.fleet.operations.get("01")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    state = tmp_path_factory.mktemp("fuzz") / "state"
    state.mkdir()
    token = make_credentials(state)[1]
    with running_service(state, tick_s=0.2) as service:
        operations, service.operations = service.operations, NoBuilds(service)
        with api_of(service) as address:
            yield Live(service, address, token)
        service.operations = operations


@pytest.fixture
def furnished(live: Live) -> Live:
    live.furnish()
    return live


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_a_declared_one(case: Case, furnished: Live) -> None:
    response = case.call(base_url=furnished.url, headers=furnished.headers)
    excluded = [positive_data_acceptance] if case.operation.path in REFUSES_VALID_DATA else []
    if case.operation.path == "/api/v1/rollouts/plan":
        excluded.append(allow_header_conformance)  # also a path of `/rollouts/{rollout}`, which may be got
    if not isinstance(case.body, dict):
        excluded.append(negative_data_rejection)  # in a query every value is a text
    case.validate_response(response, headers=furnished.headers, excluded_checks=excluded)
    if response.status_code >= 400:
        assert response.headers["content-type"][0] == "application/problem+json"
        assert response.json()["status"] == response.status_code
