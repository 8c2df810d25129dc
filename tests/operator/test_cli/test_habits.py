"""What every command keeps to: where it finds the controller, how it ends, and what it prints."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgefleet_contract.segments import SegmentRecord
from edgefleet_controller.credentials import make_credentials
from edgefleet_operator.cli import app
from edgefleet_operator.http import MOST_ITEMS
from edgefleet_operator.printing import print_table

LISTINGS = ["model", "variant", "profile", "device", "segment", "rollout", "operation"]


def test_the_controller_of_this_folder_is_found(operator, service, tmp_path: Path, monkeypatch) -> None:
    note = tmp_path / "here" / ".edgefleet" / "controller" / "controller.json"
    note.parent.mkdir(parents=True)
    note.write_text((service.settings.state / "controller.json").read_text())
    monkeypatch.chdir(tmp_path / "here")
    operator.url = ""
    assert operator.reads("model", "list") == []


def test_without_a_controller_the_way_to_name_one_is_said(operator, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    operator.url = ""
    assert "--api" in operator.types("model", "list", code=2).stderr
    assert "not a controller's URL" in operator.types("model", "list", "--api", "localhost:80", code=2).stderr


@pytest.fixture
def token(tmp_path: Path) -> str:
    """The API's token of the state folder that the service is about to open."""
    (tmp_path / "state").mkdir()
    return make_credentials(tmp_path / "state")[1]


def test_the_token_of_the_environment_opens_a_guarded_controller(token: str, operator, monkeypatch) -> None:
    assert "EDGEFLEET_TOKEN" in operator.types("model", "list", code=1).stderr
    monkeypatch.setenv("EDGEFLEET_TOKEN", token)
    assert operator.reads("model", "list") == []


def test_a_controller_that_does_not_answer_is_named_on_one_line(operator) -> None:
    done = operator.types("device", "list", "--api", "http://127.0.0.1:9", code=1)
    assert done.stdout == ""
    assert "no answer from http://127.0.0.1:9" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_refusal_is_the_apis_own_words_on_one_line_of_stderr(operator) -> None:
    done = operator.types("rollout", "start", "fashion@7", "--all", "--json", code=1)
    assert done.stdout == ""
    assert "fashion@7" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        "rollout start fashion@1",
        "rollout start fashion@1 --all --segment europe",
        "rollout start fashion --all",
        "rollout start fashion@1 --all --waves many",
        "rollout start fashion@1 --all --waves 0%,100%",
        "rollout plan fashion@1 --all --gate soak=1",
        "rollout plan fashion@1 --all --gate soak_s",
        "rollout plan fashion@1 --all --timer trial_s=soon",
        "device list --selector region=eu --segment europe",
        "rollout start fashion@1 --all --waves 50%,20%,100%",
        "rollout start fashion@1 --all --waves 50%,50%,100%",
        "rollout start fashion@1 --all --waves 50%",
        "rollout start fashion@1 --all --start-share 0%",
        "rollout start fashion@1 --all --start-share 101%",
        "rollout start fashion@1 --all --start-share 50%,90%",
        "rollout plan fashion@1 --all --gate soak_s=1 --gate soak_s=2",
        "rollout plan fashion@1 --all --timer trial_s=1 --timer trial_s=1",
        "compress fashion@1 --budget 1 --constraint max_drop=1 --constraint max_drop=2",
        "telemetry --by colour",
        "telemetry --since yesterday",
        "model show",
        "nonsense",
    ],
)
def test_what_cannot_be_meant_so_is_wrong_usage(words: str) -> None:
    done = CliRunner().invoke(app, words.split(), env={"EDGEFLEET_API": "http://127.0.0.1:9"})
    assert (done.exit_code, done.stdout) == (2, "")


def test_waves_are_refused_in_words_that_say_what_to_do(operator) -> None:
    words = ("rollout", "start", "fashion@1", "--all", "--waves")
    said = operator.types(*words, "50%,20%,100%", code=2).stderr
    assert "20% comes after 50%: each wave must reach more devices than the one before" in said
    assert "end with 1, that is 100%" in operator.types(*words, "50%", code=2).stderr


def test_every_listing_gives_a_json_list_and_an_empty_one_says_so(operator) -> None:
    for noun in LISTINGS:
        assert isinstance(operator.reads(noun, "list"), list)
        assert noun == "profile" or operator.types(noun, "list").stdout.startswith("no ")


def test_a_listing_goes_through_all_pages_or_ends_at_the_limit(operator, service) -> None:
    names = [f"s{n:04d}" for n in range(MOST_ITEMS + 1)]
    with service.store.fleet.transaction():
        for name in names:
            service.store.fleet.segments.put(SegmentRecord(name=name, selector="region=eu"))
    assert [s["name"] for s in operator.reads("segment", "list")] == names
    assert [s["name"] for s in operator.reads("segment", "list", "--limit", "4")] == names[:4]


def test_filters_apply_before_the_limit(operator, join) -> None:
    join("a", "b", "c")
    assert [d["id"] for d in operator.reads("device", "list", "--online", "--limit", "2")] == ["a", "b"]
    assert operator.reads("device", "list", "--offline", "--limit", "2") == []


def test_into_a_pipe_every_row_is_one_line(operator, join, published: str) -> None:
    join("a", "b", runs="b" * 64)
    lines = operator.types("device", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines if "online" in line or "offline" in line] == ["a", "b"]


def test_at_a_hundred_columns_tables_fit_and_names_stay_whole(operator, join, published: str) -> None:
    join("a-device-with-a-name", runs="b" * 64)
    rollout = operator.reads("rollout", "start", published, "--all")["id"]
    nouns = ("device", "variant", "profile", "rollout", "segment", "model")
    more = ("model show fashion@1", "profile check", f"rollout show {rollout} --devices", "variant show bbbb")
    for words in (*(f"{noun} list" for noun in nouns), *more):
        shown = operator.types(*words.split(), columns=100).stdout
        assert max(map(len, shown.splitlines())) <= 100, words
        assert "…" not in shown, words
    # The device runs what this store gave nobody: the check says so, and ends with 1.
    shown = operator.types("doctor", columns=100, code=1).stdout
    assert max(map(len, shown.splitlines())) <= 100
    assert f"\n{rollout[-8:]} " in operator.types("rollout", "list", columns=100).stdout
    assert "\na-device-with-a-name " in operator.types("device", "list", columns=100).stdout


def test_json_is_told_apart_from_what_is_shown_while_waiting(operator, join, published: str) -> None:
    join("a", runs="b" * 64)
    gate = ("--gate", "soak_s=0")
    done = operator.types("rollout", "start", published, "--all", "--waves", "100%", *gate, "--watch", "--json")
    assert json.loads(done.stdout)["state"] == "completed"
    assert "wave 1" in done.stderr


def test_in_a_narrow_terminal_cells_fold_and_nothing_is_cut(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    cells = ("kiosk-in-the-station", "eu/x86-avx2/ethernet", "failed_no_change", "load_failed: no ONNX file")
    print_table(("device", "profile", "phase", "why..."), [cells])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert max(map(len, lines)) <= 50
    wanted = "".join(("device", "profile", "phase", "why", *cells))
    assert sorted(re.sub(r"[\s─]", "", "".join(lines))) == sorted(re.sub(r"\s", "", wanted))


@pytest.mark.parametrize("words", [("--api", "http://x", "device", "list"), ("device", "--limit", "3", "list")])
def test_an_option_before_its_command_is_told_its_place(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert (
        f"No such option: {next(w for w in words if w.startswith('--'))}; write a command's options after it"
        in done.stderr
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("rollout start x@1 --all --concurrency many", "for '--concurrency': must be a whole number; see"),
        (
            "rollout start x@1 --all --on-failure retry",
            "for '--on-failure': 'retry' is not one of 'pause'",
        ),
        (
            "rollout start x@1 --all --waves 50,100",
            "--waves '50' is more than all devices: did you mean 50%?; see",
        ),
        ("rollout start x@1 --all --start-share most", "--start-share 'most' is not a share: write 80% or 0.8; see"),
        ("rollout start x@1 --all --start-share 80", "'80' is more than all devices: did you mean 80%?; see"),
        ("rollout start x@1 --all --waves 150%", "edgefleet: --waves '150%' is more than all devices; see"),
        ("rollout start x@0 --all", "edgefleet: 'x@0' is not a model reference: write NAME@VERSION"),
        ("model list --limit 0", "for '--limit': must be at least 1; see"),
        ("compress x@1 --budget nan", "for '--budget': must be at least 0.1; see"),
        ("device list --online --offline", "edgefleet: no device is both: give --online or --offline, or neither"),
        ("serve --tick 0", "for '--tick': must be at least 0.05; see"),
        ("serve --port 99999", "edgefleet: '99999' is not a port: write a number up to 65535"),
    ],
)
def test_no_refusal_speaks_as_the_validator_does(words: str, told: str) -> None:
    done = CliRunner().invoke(app, words.split(), env={"EDGEFLEET_API": "http://127.0.0.1:9"})
    said = done.stderr
    assert done.exit_code == (1 if "99999" in words else 2)
    assert told in said, said
    assert not re.search("Value error|Input should|Errno|Invalid value: ", said)
