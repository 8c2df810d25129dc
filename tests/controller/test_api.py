"""REST, against a real service with a real broker and real files."""

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from tests.service import MARKED, api_of, hold_example, running_service

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_contract.rollouts import RolloutPhase
from edgefleet_contract.segments import SegmentRecord
from edgefleet_controller.records import ChoiceRecord, VariantRecord
from edgefleet_controller.service import Service
from edgefleet_controller.settings import ControllerSettings
from edgefleet_process.errors import StateInUse
from edgefleet_protocol.messages import Facts

EXAMPLE = Path(__file__).parents[2] / "examples" / "fashion"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running_service(tmp_path / "state") as running:
        yield running


@pytest.fixture
def api(service: Service) -> Iterator[httpx.Client]:
    with api_of(service) as address, httpx.Client(base_url=f"{address}/api/v1", headers=MARKED, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The API of a service that has fashion@1, for questions and refusals that change nothing."""
    with (
        running_service(tmp_path_factory.mktemp("shared") / "state") as service,
        api_of(service) as address,
        httpx.Client(base_url=f"{address}/api/v1", headers=MARKED, timeout=60) as client,
    ):
        assert client.post("/models", json={"files": upload(client)}).status_code == 201
        yield client


def upload(api: httpx.Client, folder: Path = EXAMPLE) -> dict[str, str]:
    files = {}
    for name in ("model.toml", "weights.safetensors", "data.npz"):
        data = (folder / name).read_bytes()
        files[name] = sha256(data).hexdigest()
        assert api.put(f"/blobs/{files[name]}", content=data).status_code == 204
    return files


def register(service: Service, reported, *devices: str, region: str = "eu") -> None:
    for device in devices:
        facts = Facts(hardware="rpi4", region=region, link="lte", arch="aarch64", cores=4, ram_mb=4096, simulated=True)
        service.store.fleet.devices.put_report(device, reported(facts=facts), 1)
        service.store.fleet.devices.admit(AdmissionRecord(device=device, accepted_ms=1))


@pytest.fixture
def published(service: Service, variant) -> None:
    """fashion@1 with one variant, chosen for eu/rpi4/lte."""
    publish(service, variant(delivery_bytes={49152: 100, 4096: 110}))


def publish(service: Service, built: VariantRecord) -> None:
    hold_example(service)
    choice = ChoiceRecord(model="fashion", version=1, profile="eu/rpi4/lte", variant=built.id, reasons={built.id: "ok"})
    service.store.fleet.registry.put_variants([built], [choice])


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, variant, reported) -> Iterator[httpx.Client]:
    """The API of a service that could roll out fashion@1 to devices, a segment, and one that is blank."""
    with (
        running_service(tmp_path_factory.mktemp("ready") / "state") as service,
        api_of(service) as address,
        httpx.Client(base_url=f"{address}/api/v1", headers=MARKED, timeout=60) as client,
    ):
        publish(service, variant(delivery_bytes={49152: 100, 4096: 110}))
        register(service, reported, "a", "b")
        service.store.fleet.segments.put(SegmentRecord(name="europe", selector="region=eu"))
        service.store.fleet.segments.put(SegmentRecord(name="older", selector=""))
        yield client


def assert_problem(answer, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    for word in words:
        assert word in body["detail"]


def test_a_model_is_registered_from_its_uploaded_files(shared: httpx.Client) -> None:
    assert shared.get("/models/fashion@1").json()["files"] == upload(shared)
    assert [m["model"] for m in shared.get("/models").json()["items"]] == ["fashion@1"]


def test_registering_the_same_files_again_changes_nothing(shared: httpx.Client) -> None:
    known = shared.get("/models/fashion@1").json()
    again = shared.post("/models", json={"files": upload(shared)})
    told = again.json()
    assert (again.status_code, told | {"not_checked": None}) == (201, known)
    assert told["not_checked"] is None or "no torch" in told["not_checked"]
    assert shared.get("/models/fashion@1").json() == known


def test_another_content_under_a_registered_version_is_refused(shared: httpx.Client) -> None:
    card = (EXAMPLE / "model.toml").read_bytes() + b"\n# another\n"
    name = sha256(card).hexdigest()
    shared.put(f"/blobs/{name}", content=card)
    assert_problem(
        shared.post("/models", json={"files": {**upload(shared), "model.toml": name}}), 409, "raise the version"
    )


def test_bytes_that_are_not_what_they_are_named_are_refused(shared: httpx.Client) -> None:
    assert_problem(shared.put(f"/blobs/{'0' * 64}", content=b"other"), 422, "sha256")


def test_a_model_without_an_uploaded_file_is_refused(shared: httpx.Client) -> None:
    assert_problem(shared.post("/models", json={"files": {"model.toml": "0" * 64}}), 404, "upload it first")
    assert_problem(shared.post("/models", json={"files": {}}), 422, "model.toml is missing")


@pytest.mark.parametrize(
    "path",
    ["/models/fashion@9", "/variants/x", "/rollouts/x", "/devices/x", "/operations/x", "/segments/x", "/nowhere"],
)
def test_what_is_not_there_is_a_problem_404(shared: httpx.Client, path: str) -> None:
    assert_problem(shared.get(path), 404)


@pytest.mark.parametrize("path", ["/models/fashion", "/devices?selector=region%20in", "/devices?limit=0"])
def test_a_wrong_question_is_a_problem_422(shared: httpx.Client, path: str) -> None:
    assert_problem(shared.get(path), 422)


def test_a_field_that_a_request_does_not_have_is_told_the_nearest_that_it_has(shared: httpx.Client) -> None:
    asked = {"model": "fashion", "version": 1, "everyone": True, "gate": {"soaks": 5}}
    assert_problem(
        shared.post("/rollouts/plan", json=asked), 422, "unknown field", "gate.soaks: did you mean 'soak_s'?"
    )


@pytest.mark.usefixtures("published")
def test_a_device_of_no_known_profile_keeps_no_other_from_its_build(
    api: httpx.Client, service: Service, reported
) -> None:
    register(service, reported, "odd", region="atlantis")
    assert_problem(api.post("/builds", json={"model": "fashion@1"}), 422, "no device of a known profile")
    register(service, reported, "kiosk")
    assert api.post("/builds", json={"model": "fashion@1", "recipes": ["fp32"]}).status_code == 202


def test_a_build_needs_profiles_and_recipes_that_exist(shared: httpx.Client) -> None:
    assert_problem(
        shared.post("/builds", json={"model": "fashion@1"}), 422, "no device of a known profile has reported"
    )
    wrong = {"model": "fashion@1", "profiles": ["eu/rpi9/lte"]}
    assert_problem(shared.post("/builds", json=wrong), 422, "rpi9")
    wrong = {"model": "fashion@1", "profiles": ["eu/rpi4/lte"], "recipes": ["int3"]}
    assert_problem(shared.post("/builds", json=wrong), 422, "int3", "int8")
    steps = [{"step": "export"}, {"step": "storage_quant", "config": {"pointwise": "4"}}]
    wrong = {**wrong, "recipes": [{"name": "mine", "title": "four bits", "steps": steps}]}
    assert_problem(shared.post("/builds", json=wrong), 422, "setting 'pointwise': must be a whole number, not '4'")


def test_devices_are_paged_and_selected_by_label(api: httpx.Client, service: Service, reported) -> None:
    register(service, reported, "a", "b", "c")
    register(service, reported, "d", region="na")
    first = api.get("/devices", params={"limit": 2}).json()
    assert [d["id"] for d in first["items"]] == ["a", "b"]
    second = api.get("/devices", params={"limit": 2, "cursor": first["next"]}).json()
    assert [d["id"] for d in second["items"]] == ["c", "d"]
    assert second["next"] is None
    elsewhere = api.get("/devices", params={"selector": "region!=eu,metered"}).json()["items"]
    assert [(d["id"], d["profile"], d["simulated"]) for d in elsewhere] == [("d", "na/rpi4/lte", True)]


def test_a_segment_is_a_named_selector(api: httpx.Client, service: Service, reported) -> None:
    register(service, reported, "a", "b")
    assert api.put("/segments/europe", params={"selector": "region = eu"}).json()["devices"] == 2
    assert api.get("/segments/europe").json()["selector"] == "region=eu"
    assert_problem(api.put("/segments/europe", params={"selector": "region in eu"}), 422)
    assert_problem(api.put("/segments/Europe!", params={"selector": "region=eu"}), 422, "'Europe!' is not a name")
    for blank in ("", " ", "\t\n"):
        assert_problem(api.put("/segments/europe", params={"selector": blank}), 422, "the selector is blank")
    assert api.get("/segments/europe").json()["selector"] == "region=eu", "nothing was changed"


@pytest.mark.usefixtures("published")
def test_a_plan_is_what_a_start_does(api: httpx.Client, service: Service, reported) -> None:
    register(service, reported, "a", "b", "c", "d")
    register(service, reported, "z", region="na")
    spec = {"model": "fashion", "version": 1, "everyone": True, "waves": [0.5, 1.0]}
    planned = api.post("/rollouts/plan", json=spec).json()
    started = api.post("/rollouts", json=spec).json()
    executions = api.get(f"/rollouts/{started['id']}/executions").json()["items"]
    waves = {e["device"]: n for n, wave in enumerate(planned["waves"], start=1) for e in wave}
    assert {e["device"]: e["wave"] for e in executions} == waves
    assert next(e for e in executions if e["device"] == "z")["phase"] == "no_variant"


@pytest.mark.usefixtures("published")
def test_a_second_rollout_that_wants_the_same_device_is_refused_with_the_firsts_id(
    api: httpx.Client, service: Service, reported
) -> None:
    register(service, reported, "a", "b")
    service.store.fleet.segments.put(SegmentRecord(name="europe", selector="region=eu"))
    first = api.post("/rollouts", json={"model": "fashion", "version": 1, "segment": "europe"}).json()
    again = api.post("/rollouts", json={"model": "fashion", "version": 1, "everyone": True})
    assert_problem(again, 409, first["id"])


WHICH = "exactly one of selector, segment and everyone"
RISING = "each wave must reach more devices than the one before"
TO_THE_END = "the last one must reach every device"


@pytest.mark.parametrize("path", ["/rollouts", "/rollouts/plan"])
@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, WHICH),
        ({"selector": ""}, "the selector is blank"),
        ({"selector": " \t"}, "the selector is blank"),
        ({"selector": "", "segment": "europe"}, "the selector is blank"),
        ({"selector": "region=eu", "segment": "europe"}, WHICH),
        ({"everyone": True, "segment": "europe"}, WHICH),
        ({"everyone": False}, WHICH),
        ({"segment": ""}, "segment"),
        ({"segment": " "}, "segment"),
        ({"segment": "older"}, "segment 'older' has a blank selector"),
        ({"everyone": True, "waves": [0.5, 0.2, 1]}, f"20% comes after 50%: {RISING}"),
        ({"everyone": True, "waves": [0.5, 0.5, 1]}, f"50% comes after 50%: {RISING}"),
        ({"everyone": True, "waves": [0.005, 0.001, 1]}, f"0.1% comes after 0.5%: {RISING}"),
        ({"everyone": True, "waves": [1, 1]}, RISING),
        ({"everyone": True, "waves": [0.5]}, TO_THE_END),
        ({"everyone": True, "waves": []}, TO_THE_END),
    ],
)
def test_blank_devices_and_waves_that_would_be_changed_are_refused_and_nothing_begins(
    ready: httpx.Client, path: str, asked: dict, says: str
) -> None:
    answer = ready.post(path, json={"model": "fashion", "version": 1, **asked})
    assert_problem(answer, 409 if asked.get("segment") == "older" else 422, says)
    assert ready.get("/rollouts").json()["items"] == []


@pytest.mark.parametrize("blank", [{"profiles": []}, {"recipes": []}, {"profiles": [""]}, {"recipes": [" "]}])
def test_blank_profiles_and_recipes_of_a_build_are_not_taken_for_all_of_them(ready: httpx.Client, blank: dict) -> None:
    assert_problem(ready.post("/builds", json={"model": "fashion@1", **blank}), 422)
    assert ready.get("/operations").json()["items"] == []


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("state", ["running", "paused"])
def test_devices_that_have_committed_stay_taken_until_their_rollout_has_ended(
    api: httpx.Client, service: Service, reported, state: RolloutPhase
) -> None:
    register(service, reported, "a", "b")
    spec = {"model": "fashion", "version": 1, "selector": "region=eu", "gate": {"soak_s": 3600}}
    first = api.post("/rollouts", json=spec).json()["id"]
    store = service.store.fleet.rollouts
    service.conductor.stop()
    store.put(store.get(first).model_copy(update={"state": state}))
    store.put_executions([e.model_copy(update={"phase": "committed"}) for e in store.executions(first)])
    assert_problem(api.post("/rollouts", json=spec), 409, f"a and 1 more are part of rollout {first}")
    assert_problem(api.post("/rollouts/plan", json=spec), 409, first)
    assert [r.id for r in store.all()] == [first]
    api.post(f"/rollouts/{first}/abort")
    assert api.post("/rollouts", json=spec).status_code == 201


@pytest.mark.usefixtures("published")
def test_a_rollout_to_nobody_or_of_nothing_is_refused(api: httpx.Client, service: Service, reported) -> None:
    assert_problem(api.post("/rollouts", json={"model": "fashion", "version": 1, "everyone": True}), 409, "no device")
    register(service, reported, "a")
    assert_problem(api.post("/rollouts", json={"model": "fashion", "version": 2, "everyone": True}), 404, "fashion@2")
    assert_problem(
        api.post("/rollouts", json={"model": "fashion", "version": 1, "everyone": True, "wave": []}), 422, "wave"
    )


@pytest.mark.usefixtures("published")
def test_counts_of_a_rollout_are_the_sum_of_its_devices(api: httpx.Client, service: Service, reported) -> None:
    register(service, reported, "a", "b", "c")
    rollout = api.post("/rollouts", json={"model": "fashion", "version": 1, "everyone": True, "waves": [0.4, 1]}).json()
    shown = api.get(f"/rollouts/{rollout['id']}").json()
    assert sum(shown["counts"].values()) == 3
    assert [sum(w["counts"].values()) for w in shown["waves"]] == [2, 1]


def test_two_controllers_never_own_one_state_folder(service: Service) -> None:
    with pytest.raises(StateInUse, match="another controller"):
        Service(ControllerSettings(state=service.settings.state))


def test_every_profile_of_the_catalogue_is_shown_with_its_sources(shared: httpx.Client) -> None:
    shown = shared.get("/profiles/eu/rpi4/lte").json()
    assert shown["device_class"] == "arm-neon.cpu.4096mb"
    assert shown["profile"]["link"]["sources"]["usd_per_mb"]
    assert_problem(shared.get("/profiles/eu/rpi4/lt"), 404, "lte")


def test_a_device_of_a_generic_class_is_classed_by_its_own_memory(
    api: httpx.Client, service: Service, reported
) -> None:
    named = {"hardware": "generic-x86-avx2", "region": "eu", "link": "lte"}
    facts = Facts(**named, arch="x86_64", isa=frozenset({"avx2"}), cores=8, ram_mb=15_900)
    service.store.fleet.devices.put_report("pc", reported(facts=facts), 1)
    assert api.get("/devices/pc").json()["device_class"] == "x86-avx2.cpu.16384mb"


def test_health_says_whether_the_broker_is_heard(api: httpx.Client, service: Service) -> None:
    assert api.get("/health").json()["broker"] == service.access.url


@pytest.mark.usefixtures("published")
def test_a_model_is_removed_unless_a_rollout_needs_it(api: httpx.Client, service: Service, reported) -> None:
    register(service, reported, "a")
    rollout = api.post("/rollouts", json={"model": "fashion", "version": 1, "everyone": True}).json()
    assert_problem(api.delete("/models/fashion@1"), 409, rollout["id"])
    service.conductor.stop()
    kept = service.store.fleet.rollouts.get(rollout["id"])
    service.store.fleet.rollouts.put(kept.model_copy(update={"state": "cancelled"}))
    service.store.fleet.devices.forget("a", 2)  # the rollout may have told it already
    assert api.delete("/models/fashion@1").status_code == 204
    assert api.get("/variants").json()["items"] == []
    assert_problem(api.delete("/models/fashion@1"), 404, "fashion@1")


def test_the_interactive_page_needs_nothing_from_elsewhere(shared: httpx.Client) -> None:
    page = httpx.get(str(shared.base_url.copy_with(path="/docs")), timeout=60).text
    assert "swagger-ui" in page
    assert "https://" not in page.replace("https://fastapi.tiangolo.com", "")
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', page):
        assert httpx.get(str(shared.base_url.copy_with(path=path)), timeout=60).status_code == 200, path
