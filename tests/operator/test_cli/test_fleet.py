"""Devices, segments, telemetry, and the doctor."""

import pytest

from edgefleet_contract.devices import ConflictRecord, DeviceModelView, DeviceView
from edgefleet_contract.health import HealthView, StateView
from edgefleet_contract.rollouts import RolloutView
from edgefleet_contract.telemetry import TelemetryGroup
from edgefleet_controller.clock import now_ms
from edgefleet_controller.fleet.identities import Identities
from edgefleet_controller.store.contract.windows import StoredWindow
from edgefleet_operator.cli import doctor
from edgefleet_operator.cli.telemetry import simulated
from edgefleet_protocol.messages import Facts, MemoryBudget, Slot, TelemetryWindow


def test_devices_are_marked_as_simulated_and_named_with_what_answers(operator, join, published: str) -> None:
    join("a", runs="b" * 64)
    join("b")
    first, second = [line for line in operator.types("device", "list").stdout.splitlines() if line[:2] in ("a ", "b ")]
    assert "eu/rpi4/lte (sim)" in first and "fashion@1 fp32" in first
    assert "not ready" in second


def test_a_file_that_versions_share_is_one_variant_under_the_name_that_the_device_reports(
    operator, service, join, published: str
) -> None:
    (one, *_) = service.store.fleet.registry.variants("fashion", 1)
    later = type(one).model_validate({**one.model_dump(), "version": 2, "recipe": "as_before"})
    service.store.fleet.registry.put_variants([later], [])
    join("a", runs=one.id)
    assert "fashion@1 fp32" in operator.types("device", "list").stdout
    assert one.id in operator.types("variant", "show", one.id[:12]).stdout


def test_devices_are_chosen_by_selector_or_segment(operator, join) -> None:
    join("a")
    join("b", region="na")
    operator.types("segment", "save", "america", "region=na")
    assert [d["id"] for d in operator.reads("device", "list", "--selector", "region=eu")] == ["a"]
    assert [d["id"] for d in operator.reads("device", "list", "--segment", "america")] == ["b"]
    assert "selector" in operator.types("device", "list", "--selector", "region in", code=1).stderr.lower()


def test_a_device_is_shown_with_facts_and_slots(operator, join, published: str) -> None:
    join("a", runs="b" * 64)
    shown = operator.types("device", "show", "a").stdout
    for words in ("eu/rpi4/lte (sim)", "arm-neon", "4,096 MB", "variant bbbbbbbbbbbb", "generation 1"):
        assert words in shown
    assert operator.types("device", "show", "nobody", code=1).stderr


def test_a_device_is_added_accepted_and_removed(operator, join) -> None:
    shown = operator.types("device", "add", "--profile", "eu/rpi4/lte", "--id", "kiosk").stdout
    assert "edgefleet-agent run" in shown and "--device kiosk" in shown
    join("stranger", admitted=False)
    assert [d["id"] for d in operator.reads("device", "list", "--status", "pending")] == ["stranger"]
    assert "online, pending" in operator.types("device", "list").stdout
    assert "accepted" in operator.types("device", "accept", "stranger").stdout
    operator.types("device", "remove", "stranger")
    assert operator.reads("device", "list") == []
    assert operator.types("device", "remove", "stranger", code=1).stderr


def test_a_device_that_comes_as_another_is_marked_and_gets_nothing_until_somebody_decides(
    operator, service, reported, published: str
) -> None:
    operator.types("device", "add", "--profile", "eu/rpi4/lte", "--id", "gate-7")
    facts = Facts(hardware="rpi5", region="jp", link="lte", arch="aarch64", cores=4, ram_mb=8192, isa={"asimddp"})
    service.store.fleet.devices.put_report("gate-7", reported(facts=facts), 1)
    told = "it was added as eu/rpi4/lte and reports jp/rpi5/lte"
    assert operator.reads("device", "show", "gate-7")["unlike"][0].startswith(told)
    assert "UNLIKE" in operator.types("device", "list", columns=200).stdout
    (check,) = (one for one in operator.reads("doctor", code=1) if one["name"] == "profiles")
    assert not check["ok"] and check["do"].startswith(told)
    (planned,) = operator.reads("rollout", "plan", published, "--all", "--waves", "100%")["waves"]
    assert (planned[0]["phase"], planned[0]["detail"][: len(told)]) == ("deferred", told)
    assert "device accept" not in planned[0]["detail"], "it is read after that, too"
    assert planned[0]["detail"].endswith("once that is settled, another rollout reaches it")
    operator.types("device", "accept", "gate-7")
    assert operator.reads("device", "show", "gate-7")["unlike"] == []
    (planned,) = operator.reads("rollout", "plan", published, "--all", "--waves", "100%")["waves"]
    assert planned[0]["phase"] == "no_variant"  # of jp/rpi5/lte, as it is now


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arch": "x86_64"}, "rpi4 is aarch64, and it reports x86_64: correct its --hardware"),
        (
            {"isa": {"asimddp"}},
            "rpi4 is of class arm-neon, and it reports flags of arm-dotprod: correct its --hardware",
        ),
        ({"ram_mb": 900}, "rpi4 has 4096 MB, and it reports 900 MB"),
        (
            {"providers": ("CPUExecutionProvider",), "lacks_providers": ("QNNExecutionProvider",)},
            "its onnxruntime does not run QNNExecutionProvider, as rpi4 asks, but CPUExecutionProvider: install one",
        ),
    ],
)
def test_a_device_that_is_not_what_its_hardware_says_is_marked(operator, service, reported, changes, said: str) -> None:
    given = {"hardware": "rpi4", "region": "eu", "link": "lte", "arch": "aarch64", "cores": 4, "ram_mb": 4096}
    service.store.fleet.devices.put_report("d", reported(facts=Facts.model_validate(given | changes)), 1)
    (unlike,) = operator.reads("device", "show", "d")["unlike"]
    assert unlike.startswith(said)


def test_a_device_shows_what_its_models_may_take_of_its_memory(operator, service, reported) -> None:
    budget = {"budget_mb": 384, "agent_mb": 48, "worker_mb": 80}
    facts = reported().facts.model_copy(update={"memory": MemoryBudget.model_validate(budget)})
    service.store.fleet.devices.put_report("new", reported(facts=facts), 1)
    service.store.fleet.devices.put_report("old", reported(), 1)
    shown = operator.types("device", "show", "new", columns=160).stdout
    assert "384 MB, of which the agent 48 MB and each model 80 MB and its own" in shown
    assert operator.reads("device", "show", "new")["facts"]["memory"] == budget
    assert "not reported by its agent" in operator.types("device", "show", "old").stdout


def test_a_device_that_was_added_and_has_not_joined_is_listed_as_such(operator, service, reported) -> None:
    operator.types("device", "add", "--profile", "eu/rpi4/lte", "--id", "gate-7")
    (row,) = (line for line in operator.types("device", "list").stdout.splitlines() if line.startswith("gate-7"))
    assert row.split()[1:4] == ["eu/rpi4/lte", "not", "joined"]
    (expected,) = operator.reads("device", "list", "--status", "expected")
    assert (expected["device"], expected["profile"]) == ("gate-7", "eu/rpi4/lte")
    assert "gate-7" in operator.types("device", "list", "--status", "expected").stdout
    assert "gate-7" not in operator.types("device", "list", "--selector", "region=eu").stdout
    assert operator.reads("device", "list") == [], "nothing is known of it that a device would report"
    operator.types("device", "list", "--status", "expected", "--online", code=2)
    service.store.fleet.devices.put_report("gate-7", reported(), 1)
    assert "not joined" not in operator.types("device", "list").stdout
    assert operator.reads("device", "list", "--status", "expected") == []


def test_a_slip_in_a_selector_is_answered_with_what_may_be_meant(operator, join, published: str) -> None:
    join("a")
    slip = "no device has a label 'regoin': did you mean 'region'?"
    assert slip in operator.types("segment", "save", "europe", "regoin=eu").stdout
    assert operator.reads("segment", "show", "europe")["doubts"] == [slip]
    assert slip in operator.types("segment", "show", "europe").stdout
    for words in (("device", "list"), ("device", "accept")):
        assert slip in operator.types(*words, "--selector", "regoin=eu").stdout
    for to in (("--segment", "europe"), ("--selector", "regoin=eu")):
        assert slip in " ".join(operator.types("rollout", "plan", published, *to, code=1).stderr.split())
    told = operator.types("segment", "save", "pis", "region=eu,hardware in (rpi4,rpi-zreo-2w)").stdout
    assert "no device has hardware=rpi-zreo-2w: did you mean 'rpi-zero-2w'?" in told
    for fine in ("region=na", "!metered", "link in (lte,wifi)"):
        assert operator.reads("segment", "save", "fine", fine)["doubts"] == []


def test_a_segment_is_saved_listed_and_shown_with_its_devices(operator, join) -> None:
    join("a", "b")
    assert "region=eu, 2 devices" in operator.types("segment", "save", "europe", "region = eu").stdout
    assert operator.reads("segment", "list")[0]["selector"] == "region=eu"
    assert operator.reads("segment", "show", "europe")["members"] == ["a", "b"]
    assert "eu/rpi4/lte (sim)" in operator.types("segment", "show", "europe").stdout
    assert "Europe!" in operator.types("segment", "save", "Europe!", "region=eu", code=1).stderr
    operator.types("segment", "remove", "europe")
    assert operator.reads("segment", "list") == []
    assert [d["id"] for d in operator.reads("device", "list")] == ["a", "b"]
    assert "no segment 'europe'" in operator.types("segment", "remove", "europe", code=1).stderr


def test_the_pending_devices_that_match_are_accepted_at_once(operator, join) -> None:
    join("old")
    join("new-1", "new-2", admitted=False)
    assert operator.reads("device", "accept", "--selector", "region=na") == []
    assert [d["id"] for d in operator.reads("device", "list", "--status", "pending")] == ["new-1", "new-2"]
    shown = operator.types("device", "accept", "--selector", "region=eu").stdout
    assert shown.splitlines() == ["new-1 is accepted", "new-2 is accepted"]
    assert operator.reads("device", "list", "--status", "pending") == []
    for words in ((), ("new-1", "--selector", "region=eu")):
        assert "--selector SELECTOR" in operator.types("device", "accept", *words, code=2).stderr


def window(device: str, link: str, **told: int | bool) -> StoredWindow:
    given = {
        **{"incarnation": "0" * 32, "seq": 1, "first_kept_seq": 1, "duration_ms": 1000, "started_ms": None},
        **{"model": "fashion", "model_version": 1, "variant": "b" * 64, "generation": 1, "requests": 1234, "errors": 1},
        **{"labelled": 100, "correct": 91, "labels_checked": True, **told},
    }
    facts = Facts(hardware="rpi4", region="eu", link=link, arch="aarch64", cores=4, ram_mb=4096, simulated=True)
    return StoredWindow(device, TelemetryWindow.model_validate(given), facts, now_ms())


def test_telemetry_is_shown_by_variant_and_by_what_is_asked(operator, service, join, published: str) -> None:
    join("a", runs="b" * 64)
    service.store.telemetry.windows.put([window("a", "lte"), window("b", "wifi")])
    shown = operator.types("telemetry", "--model", published).stdout
    assert "fp32 bbbbbbbb" in shown and "2,468" in shown and "91.0 %" in shown
    by_link = operator.reads("telemetry", "--by", "link", "--by", "hardware", "--since", "1h")
    assert [entry["group"] for entry in by_link] == [{"link": n, "hardware": "rpi4"} for n in ("lte", "wifi")]
    assert "from (UTC)" in operator.types("telemetry", "--over", "hour").stdout
    assert max(map(len, operator.types("telemetry", "--by", "hardware", columns=100).stdout.splitlines())) <= 100


def test_labels_that_were_refused_or_never_checked_are_told_apart(operator, service, join, published: str) -> None:
    join("a", runs="b" * 64)
    apart = [window("b", "lte", refused_labels=37), window("c", "lte", labels_checked=False)]
    assert "refused" not in operator.types("telemetry").stdout
    service.store.telemetry.windows.put([window("a", "lte"), *apart])
    shown = " ".join(operator.types("telemetry").stdout.split())
    assert "refused: 37 labels, none of the model's classes" in shown
    assert "not checked: 100 of the labels came through agents up to 0.2" in shown
    (told,) = operator.reads("telemetry")
    assert (told["labelled"], told["refused_labels"], told["unchecked_labels"]) == (300, 37, 100)


def test_figures_of_simulated_devices_are_marked() -> None:
    held = {"fashion": DeviceModelView.model_construct(slots=[Slot.model_construct(variant="v")])}
    place = {"region": "eu", "link": "lte"}
    devices = [
        DeviceView.model_construct(id="a", hardware="rpi4", simulated=True, models=held, **place),
        DeviceView.model_construct(id="b", hardware="rpi5", simulated=False, models={}, **place),
    ]
    assert simulated(TelemetryGroup(hardware="rpi4"), devices) == "yes"
    assert simulated(TelemetryGroup(hardware="rpi5"), devices) == "no"
    assert simulated(TelemetryGroup(region="eu"), devices) == "some"
    assert simulated(TelemetryGroup(variant="v"), devices) == "yes"
    assert simulated(TelemetryGroup(device="gone"), devices) == "–"


def test_the_doctor_finds_a_sound_controller_well(connected, operator, join) -> None:
    join("a", admitted=False)
    checks = {check["name"]: check for check in operator.reads("doctor")}
    looked_at = {"api", "broker", "state folder", "blobs", "clock", "version", "messages", "devices"}
    assert set(checks) == looked_at | {"identities", "profiles", "generations", "rollouts", "alerts"}
    assert all(check["ok"] for check in checks.values())
    assert "device accept a" in operator.types("doctor").stdout


def test_the_doctor_says_what_to_do_about_a_controller_that_does_not_answer(operator) -> None:
    assert "edgefleet serve" in operator.types("doctor", "--api", "http://127.0.0.1:9", code=1).stdout


def test_the_doctor_names_messages_that_were_set_aside(operator, service) -> None:
    service.ingest.offer("edgefleet/v1/up/00/a/reported", b"nonsense")
    while not service.ingest.set_aside:
        pass
    found = {c["name"]: c for c in operator.reads("doctor", code=1)}["messages"]
    assert not found["ok"]
    assert "up/00/a/reported" in found["do"]


health, device = HealthView.model_construct, DeviceView.model_construct
UNTOLD = DeviceModelView.model_construct(generation=2, desired_generation=None)
AHEAD = DeviceModelView.model_construct(generation=2, desired_generation=1)


def rolled(state: str, last: str) -> RolloutView:
    whole = f"019ad1c2-0000-7aaa-8bbb-ccccdddd000{last}"
    return RolloutView.model_construct(id=whole, model="m@1", state=state, reason="late")


def test_a_device_that_was_removed_and_came_back_is_not_blamed_on_a_restore() -> None:
    for model, blamed in ((UNTOLD, "it was removed and has come back"), (AHEAD, "the store was restored")):
        check = doctor.check_generations([device(id="till", status="accepted", models={"m": model})])
        assert check.do.startswith(blamed) and "start a rollout" in check.do


def test_rollouts_that_nobody_must_look_at_are_well() -> None:
    assert doctor.check_rollouts([rolled("running", "1"), rolled("completed", "2"), rolled("cancelled", "3")]).ok


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (doctor.check_broker(health(status="no broker", broker="mqtt://x")), "not connected"),
        (
            doctor.check_broker(health(status="no broker", broker="mqtt://b:1", brokers=("mqtt://a:1", "mqtt://b:1"))),
            "not connected to mqtt://b:1, number 2 of 2",
        ),
        (doctor.check_state(health(state=StateView(writable=False, free_bytes=9_000_000_000))), "not writable"),
        (doctor.check_state(health(state=StateView(writable=True, free_bytes=5_000_000))), "5.0 MB free"),
        (doctor.check_clock(health(now_ms=60_000), 1_000), "59 s"),
        (doctor.check_version("0.1.0", "0.2.0"), "0.1.0"),
        (doctor.check_identities([device(id="kiosk", conflict=ConflictRecord(since_ms=1, incarnations=()))]), "kiosk"),
        (doctor.check_generations([device(id="till", status="accepted", models={"m": AHEAD})]), "till"),
        (doctor.check_generations([device(id="till", status="accepted", models={"m": UNTOLD})]), "told nothing"),
        (doctor.check_rollouts([rolled("running", "1"), rolled("paused", "2")]), "dddd0002 of m@1 is paused: late"),
        (doctor.check_rollouts([rolled("paused", n) for n in "123"]), "dddd0001 of m@1 and 2 more are paused: late"),
    ],
)
def test_whatever_is_wrong_comes_with_what_to_do(check: doctor.Check, said: str) -> None:
    assert not check.ok
    assert said in check.found
    assert check.do


@pytest.fixture
def in_conflict(service, join, reported) -> str:
    """A device under whose id two agents report."""
    join("kiosk")
    now, identities = now_ms(), Identities(service.store.fleet, 900)
    for report, incarnation in enumerate(("a" * 32, "b" * 32, "a" * 32), start=2):
        identities.hear("kiosk", incarnation, now + report)
        told = reported(incarnation=incarnation, report=report)
        service.store.fleet.devices.put_report("kiosk", told, now + report)
    return "kiosk"


def test_two_agents_with_one_id_are_listed_shown_and_found_by_the_doctor(operator, in_conflict: str) -> None:
    assert "online, conflict" in operator.types("device", "list").stdout
    shown = operator.types("device", "show", in_conflict).stdout
    assert "a" * 32 in shown
    assert "b" * 32 in shown
    found = operator.reads("device", "show", in_conflict)["conflict"]
    assert [heard["incarnation"] for heard in found["incarnations"]] == ["a" * 32, "b" * 32]
    check = {c["name"]: c for c in operator.reads("doctor", code=1)}["identities"]
    assert (check["ok"], in_conflict in check["found"]) == (False, True)


def test_a_plan_names_a_device_in_conflict_with_the_reason(operator, in_conflict: str, published: str) -> None:
    said = operator.types("rollout", "plan", published, "--all", columns=200).stdout
    assert "two agents report under this id" in said
    assert in_conflict in said
