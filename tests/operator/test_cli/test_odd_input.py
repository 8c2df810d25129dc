"""Whatever is typed, and whatever became of the terminal, a command ends with one line."""

import subprocess
import sys
from pathlib import Path

import pytest

import edgefleet_operator.cli as cli

NOWHERE = "http://127.0.0.1:9"


def run(script: str, *words: str | bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = f'"$0" -m edgefleet_operator "$@" {script}'
    env = {"PATH": "/usr/bin:/bin", "EDGEFLEET_API": NOWHERE, **environment}
    return subprocess.run(["sh", "-c", command, sys.executable, *words], capture_output=True, timeout=60, env=env)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["model", "show", b"\xff"], 1),
        (["segment", "save", "a", b"region=\xff"], 1),
        (["device", "list", "--selector", b"\xff"], 1),
        (["device", "list", "--limit", "9" * 30], 1),
        (["rollout", "plan", "a@" + "9" * 5000, "--all"], 2),
        (["rollout", "plan", "a@\N{ARABIC-INDIC DIGIT THREE}", "--all"], 2),
        (["model", "add", "x" * 5000], 1),
        (["demo", "--state", "/dev/null"], 1),
        (["model", "list", "--api", b"http://x/\xff"], 2),
        (["model", "list", "--api", "http://a..b"], 1),
    ],
)
def test_odd_words_are_refused_on_one_line(words: list[str | bytes], code: int) -> None:
    done = run("", *words)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (code, b"", 1), done.stderr[-2000:]
    assert done.stderr.startswith(b"edgefleet: ")
    assert len(done.stderr) < 2100


@pytest.mark.parametrize("script", [">&-", ">/dev/full", "2>&-", ">&- 2>&-"])
def test_a_stream_that_is_closed_or_full_is_no_traceback(script: str) -> None:
    for words in (["--version"], ["model", "list"], ["model", "list", "--json"]):
        assert b"Traceback" not in run(script, *words).stderr


def test_an_error_cannot_steer_the_terminal() -> None:
    done = run("", "model", "list", "--api", "ftp://\x1b]0;pwned\x07")
    assert b"\x1b" not in done.stderr
    assert b"not a controller's URL" in done.stderr


def test_a_fault_of_ours_takes_one_line_and_says_how_to_see_where(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def broken(*_: object) -> None:
        raise LookupError("a table\nis gone")

    monkeypatch.setattr("edgefleet_operator.cli.doctor.calling", broken)
    with pytest.raises(SystemExit) as ended:
        cli.app(["doctor"], prog_name="edgefleet")
    assert ended.value.code == 1
    said = "edgefleet: internal error: LookupError: a table is gone; set EDGEFLEET_TRACEBACK=1 to see where\n"
    assert capsys.readouterr().err == said
    monkeypatch.setenv("EDGEFLEET_TRACEBACK", "1")
    with pytest.raises(LookupError):
        cli.app(["doctor"], prog_name="edgefleet")


def test_a_base_install_still_says_its_version(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path) -> None:
    from edgefleet_operator import __main__ as entry

    monkeypatch.setattr(entry, "NEEDED", ("no_such_module",))
    monkeypatch.setattr(sys, "argv", ["edgefleet", "--version"])
    entry.main()
    assert capsys.readouterr().out.startswith("edgefleet 0.")
