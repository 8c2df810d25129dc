"""Labels and notes that operators give to devices, as they are typed, shown, and seen by rollouts."""

import time

from edgefleet_controller.fleet.joining import add_device, forget_device

ONE_WAVE = ("--waves", "100%", "--gate", "soak_s=3600", "--timer", "unreachable_s=3600")


def test_labels_are_set_with_their_origin_shown_and_taken_away(operator, service, join, reported) -> None:
    join("a")
    facts = service.store.fleet.devices.get("a").facts
    told = {"site": "bergen", "row": "3"}
    service.store.fleet.devices.put_report("a", reported(report=2, labels=told, facts=facts), 2)
    said = operator.types("device", "label", "a", "site=oslo", "tier=field", "never-").stdout.splitlines()
    assert said == [
        "a: site=oslo, tier=field",
        "a reports site=bergen itself, which does not count while site is set here",
    ]
    shown = [" ".join(line.split()) for line in operator.types("device", "show", "a").stdout.splitlines()]
    assert "labels its profile: hardware=rpi4, link=lte, metered=true, region=eu" in shown
    assert "set here: site=oslo (it reports bergen), tier=field" in shown
    assert "it reports: row=3" in shown
    read = operator.reads("device", "show", "a")
    assert (read["labels"]["site"], read["labels"]["row"]) == ("oslo", "3")
    assert (read["set_labels"], read["reported_labels"]) == ({"site": "oslo", "tier": "field"}, told)
    said = operator.types("device", "label", "a", "site-", "tier-").stdout.splitlines()
    assert said == [
        "a: no labels set",
        "a reports site=bergen itself, which counts now: its agent's settings have it",
    ]
    assert operator.reads("device", "show", "a")["labels"]["site"] == "bergen"


def test_many_devices_are_labelled_by_selector_by_segment_or_all_of_them(operator, join) -> None:
    join("a", "b")
    join("waits", admitted=False)
    join("z", region="na")
    operator.types("segment", "save", "america", "region=na")
    said = operator.types("device", "label", "--selector", "region=eu", "site=oslo").stdout.splitlines()
    assert said == ["a: site=oslo", "b: site=oslo", "waits: site=oslo"]
    assert [d["device"] for d in operator.reads("device", "label", "site=york", "--segment", "america")] == ["z"]
    assert len(operator.reads("device", "label", "--all", "tier=field")) == 4
    assert [d["id"] for d in operator.reads("device", "list", "--selector", "site=oslo,tier")] == ["a", "b", "waits"]
    assert operator.types("device", "label", "--selector", "site=rome", "x=y").stdout == "no device matches site=rome\n"
    moved = operator.reads("device", "label", "--selector", "site=oslo", "site=bergen")
    assert [d["set_labels"]["site"] for d in moved] == ["bergen"] * 3


def test_a_device_that_is_labelled_joins_a_running_rollout_and_its_segment_at_once(
    operator, join, published: str
) -> None:
    join("a", "b")
    operator.types("device", "label", "a", "site=oslo")
    assert "1 device now" in operator.types("segment", "save", "oslo", "site=oslo").stdout
    planned = operator.reads("rollout", "plan", published, "--segment", "oslo", *ONE_WAVE)
    assert [e["device"] for wave in planned["waves"] for e in wave] == ["a"]
    rollout = operator.reads("rollout", "start", published, "--segment", "oslo", *ONE_WAVE)["id"]
    operator.types("device", "label", "b", "site=oslo")
    assert operator.reads("segment", "show", "oslo")["members"] == ["a", "b"]
    until = time.monotonic() + 30
    while len(operator.reads("rollout", "show", rollout, "--devices")["executions"]) < 2:
        assert time.monotonic() < until, "b did not join the rollout"
        time.sleep(0.05)


def test_a_device_is_labelled_before_it_first_reports(operator, service, join) -> None:
    add_device(service.store.fleet, service.catalogue, "eu/rpi4/lte", "new")
    operator.types("device", "label", "new", "site=oslo")
    assert operator.reads("device", "list", "--selector", "site=oslo") == []
    join("new")
    assert [d["id"] for d in operator.reads("device", "list", "--selector", "site=oslo")] == ["new"]


def test_a_note_is_shown_replaced_and_cleared_and_is_nothing_but_text(operator, service, join) -> None:
    join("a", "b")
    note = "[bold]behind[/bold] the door :smile: é"
    assert operator.types("device", "note", "a", f" {note} ").stdout == f"a: {note}\n"
    assert note in operator.types("device", "show", "a").stdout
    assert [d["note"] for d in operator.reads("device", "list")] == [note, None]
    assert operator.reads("device", "note", "a", "moved")["note"] == "moved"
    assert operator.types("device", "note", "a", "--clear").stdout == "a: no note\n"
    assert "note" not in operator.types("device", "show", "a").stdout
    operator.types("device", "note", "a", "--clear", "text", code=2)


def test_a_removed_device_comes_back_as_it_reports_itself(operator, service, join) -> None:
    join("a")
    operator.types("device", "label", "a", "site=oslo")
    operator.types("device", "note", "a", "behind the door")
    forget_device(service.store, service.desired, "a")
    join("a")
    shown = operator.reads("device", "show", "a")
    assert ("site" in shown["labels"], shown["set_labels"], shown["note"]) == (False, {}, None)
