"""A name that nothing has, or a text that cannot be read: one line that says what to do, from every command."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from edgefleet_operator.cli import app

NAMES = {"model", "segment", "profile", "recipe", "device", "rollout", "variant", "operation", "selector", "name"}
NAMES |= {"region", "hardware", "link", "state", "status", "phase", "by", "over", "since", "only", "words", "text"}
NO_NAMES = {
    *("api", "as_json", "limit", "timeout", "follow", "watch", "detach", "clear", "everyone", "everything"),
    *("devices", "online", "offline"),
    *("waves", "start_share", "concurrency", "on_failure", "gate", "timer"),  # test_habits: what cannot be meant so
    *("source", "data", "version", "scale", "batch", "labels"),
    "task",  # test_door: what it may be, the door knows
    *("onnx", "folder", "force"),  # test_registry and test_refusals beside this folder
    *("accept_drop", "accept_signature"),  # test_refused_versions
    *("profiles",),  # a folder
    *("explain", "budget", "seed", "device_class", "constraint", "out", "file"),  # test_compress_in_service
}
RUN_THEMSELVES = {"serve", "demo"}
FILTERS = {("model list", "name"), ("rollout list", "model")}
"""What nothing has gives an empty listing."""
NEW = {("device add", "name"), ("segment save", "name")}
"""The name of something that is about to be."""

MODEL = "fashion@9"
CASES: list[tuple[str, str, str, int, str]] = [
    # command, the parameter that is wrong, the words, exit code, what the line says
    ("compress", "model", f"compress {MODEL} --profile eu/rpi4/lte", 1, "no model fashion@9: "),
    ("compress", "model", "compress fashion --profile eu/rpi4/lte", 1, "'fashion' is not a model reference: write"),
    ("compress", "model", "compress ../x --profile eu/rpi4/lte", 1, "'../x' is not a model reference: write"),
    ("compress", "profile", "compress fashion@1 --profile eu/rpi9/lte", 1, "no hardware 'rpi9': did you mean rpi"),
    ("compress", "profile", "compress fashion@1 --profile rpi4", 1, "not a profile: write region/hardware/link"),
    (
        "compress",
        "recipe",
        "compress fashion@1 --profile eu/rpi4/lte --recipe int3",
        1,
        "no recipe 'int3': did you",
    ),
    ("telemetry", "model", "telemetry --model Fashion", 1, "'Fashion' is not a model: write NAME"),
    ("telemetry", "model", "telemetry --model trousers@3", 1, "no model trousers@3: "),
    ("telemetry", "model", "telemetry --model trousers", 1, "no model trousers"),
    ("telemetry", "device", "telemetry --device nobody", 1, "no device nobody"),
    ("telemetry", "selector", "telemetry --selector region=", 1, "column 8: expected a value"),
    ("telemetry", "by", "telemetry --by colour", 2, "'colour' is not one of 'variant'"),
    ("telemetry", "over", "telemetry --over week", 2, "'week' is not one of 'hour', 'day'"),
    ("telemetry", "since", "telemetry --since yesterday", 2, "write, for example, 90s"),
    ("model remove", "model", f"model remove {MODEL}", 1, "no model fashion@9: "),
    ("model remove", "model", "model remove fashion", 1, "write NAME@VERSION"),
    ("model show", "model", f"model show {MODEL}", 1, "no model fashion@9: "),
    ("model show", "model", "model show fashion@x", 1, "write NAME@VERSION"),
    ("model init", "name", "model init x.txt --name Big", 1, "'x.txt' must end in .onnx: convert the file"),
    ("variant list", "model", f"variant list --model {MODEL}", 1, "no model fashion@9: "),
    ("variant list", "recipe", "variant list --recipe int3", 1, "no variant is built by recipe 'int3': use one of"),
    ("variant rebuild", "variant", "variant rebuild abc", 1, "no variant abc"),
    ("variant show", "variant", "variant show zzz", 1, "no variant zzz"),
    ("profile list", "region", "profile list --region mars", 1, "no region 'mars': choose one of"),
    ("profile list", "hardware", "profile list --hardware rpi9", 1, "no hardware 'rpi9': did you mean"),
    ("profile list", "link", "profile list --link carrier-pigeon", 1, "no link 'carrier-pigeon': choose one of"),
    ("profile show", "profile", "profile show eu/rpi9/lte", 1, "no hardware 'rpi9': did you mean"),
    ("profile show", "profile", "profile show eu/rpi4", 1, "write region/hardware/link"),
    ("profile show", "profile", "profile show a/b/c/d", 1, "write region/hardware/link"),
    ("profile check", "only", "profile check --only guessed", 2, "'guessed' is not one of 'cited', 'estimated'"),
    ("device add", "profile", "device add --profile eu/rpi9/lte", 1, "no hardware 'rpi9': did you mean"),
    ("device add", "name", "device add --profile eu/rpi4/lte --id Kiosk!", 1, "'Kiosk!' is not a name: "),
    ("device accept", "device", "device accept nobody", 1, "no device nobody"),
    ("device remove", "device", "device remove nobody", 1, "no device nobody"),
    ("device show", "device", "device show nobody", 1, "no device nobody"),
    ("device show", "device", "device show ../../etc/passwd", 1, "there is no '../../etc/passwd'"),
    ("device label", "words", "device label nobody site=oslo", 1, "there is no device nobody: it was never added"),
    ("device label", "words", "device label a Site=oslo", 2, "'Site' is not a name for a label: use lower-case"),
    ("device label", "words", "device label a site=Oslo", 2, "'Oslo' cannot be the value of site: use lower-case"),
    ("device label", "words", "device label a region=eu", 1, "'region' is a fact of every device and no label of"),
    ("device label", "words", "device label a b site=x", 2, "'b' is no change of a label: write KEY=VALUE, or KEY-"),
    ("device label", "words", "device label a site=x site-", 2, "site comes twice: write each label once"),
    ("device label", "words", "device label site=x", 2, "say which devices, then labels as KEY=VALUE, or KEY- "),
    ("device label", "words", "device label --all --segment x a=b", 2, "say which devices in one way: an id, "),
    ("device label", "selector", "device label --selector region= site=x", 1, "column 8: expected a value"),
    ("device label", "segment", "device label --segment x site=oslo", 1, "no segment 'x': save it first"),
    ("device note", "device", "device note nobody text", 1, "there is no device nobody: it was never added"),
    (
        "device note",
        "text",
        "device note nobody a\x1b",
        1,
        "the note is not plain: character 2 of it is '\\x1b': write one line of",
    ),
    ("device note", "text", "device note nobody", 2, "say what to note, or --clear"),
    ("device list", "selector", "device list --selector region~eu", 1, "column 1: expected a label"),
    ("device list", "segment", "device list --segment europe", 1, "no segment 'europe': save it first"),
    ("device list", "status", "device list --status lost", 2, "'lost' is not one of 'pending', 'accepted'"),
    ("segment save", "name", "segment save Europe! region=eu", 1, "'Europe!' is not a name: "),
    ("segment save", "selector", "segment save europe region=eu,,link", 1, "column 11: expected a label"),
    ("segment show", "name", "segment show europe", 1, "no segment 'europe': save it first"),
    ("segment remove", "name", "segment remove nordic", 1, "no segment 'nordic'"),
    ("device accept", "selector", "device accept --selector region=", 1, "column 8: expected a value"),
    *(
        case
        for verb in ("plan", "start")
        for case in (
            (f"rollout {verb}", "model", f"rollout {verb} {MODEL} --all", 1, "no model fashion@9: "),
            (f"rollout {verb}", "model", f"rollout {verb} fashion --all", 2, "write NAME@VERSION"),
            (f"rollout {verb}", "segment", f"rollout {verb} fashion@1 --segment x", 1, "no segment 'x': save it first"),
            (f"rollout {verb}", "segment", f"rollout {verb} fashion@1 --segment X!", 2, "'X!' is not a name: "),
            (f"rollout {verb}", "selector", f"rollout {verb} fashion@1 --selector =", 1, "column 1: expected a label"),
        )
    ),
    ("rollout list", "state", "rollout list --state runing", 2, "'runing' is not one of 'draft'"),
    ("rollout show", "rollout", "rollout show zzz", 1, "no rollout zzz"),
    ("rollout show", "phase", "rollout show zzz --phase trail", 2, "'trail' is not a phase: "),
    *((f"rollout {v}", "rollout", f"rollout {v} zzz", 1, "no rollout zzz") for v in ("pause", "resume", "abort")),
    ("rollout rollback", "rollout", "rollout rollback zzz", 1, "no rollout zzz"),
    ("operation list", "state", "operation list --state stuck", 2, "'stuck' is not one of 'running'"),
    ("operation cancel", "operation", "operation cancel zzz", 1, "no operation zzz"),
    ("operation show", "operation", "operation show zzz", 1, "no operation zzz"),
]


def commands(group: Any = None, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in (group or get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


COMMANDS = {name: command for name, command in commands() if name not in RUN_THEMSELVES}


def test_every_parameter_that_takes_a_name_has_a_case_here() -> None:
    taken = {(name, p.name) for name, command in COMMANDS.items() for p in command.params}
    assert {p for _, p in taken} <= NAMES | NO_NAMES, "say whether a new parameter takes a name"
    wanted = {(name, p) for name, p in taken if p in NAMES} - FILTERS - {("model add", "name")}
    assert wanted == {(command, parameter) for command, parameter, *_ in CASES}


@pytest.mark.usefixtures("published")
def test_what_nothing_has_and_what_cannot_be_read_is_told_on_one_line(operator) -> None:
    # One controller for all: a case of its own for each would start eighty brokers.
    wrong = []
    for _, _, words, code, says in CASES:
        for more in ([], ["--json"] if "remove" not in words else []):
            done = operator.types(*words.split(), *more, code=code)
            lines = done.stderr.splitlines()
            if done.stdout or len(lines) != 1 or says not in lines[0] or not lines[0].startswith("edgefleet: "):
                wrong.append((words, says, done.stderr, done.stdout[:100]))
    assert wrong == []


@pytest.mark.usefixtures("published")
def test_a_filter_that_matches_nothing_is_an_empty_listing(operator) -> None:
    assert operator.reads("model", "list", "--name", "other") == []
    assert operator.reads("rollout", "list", "--model", "other@1") == []


def test_where_a_selector_is_wrong_is_shown_also_where_it_is_long(operator) -> None:
    text = ",".join(["region=eu"] * 100) + ",link==="
    said = operator.types("device", "list", "--selector", text, code=1).stderr
    assert re.search(r"column 1007: expected a value \(.*\), found '=', here: .*link==>>=", said), said
    assert len(said) < 300
