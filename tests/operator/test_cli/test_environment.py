"""Whatever the environment holds, a command ends with one line that names the fault, and shows no secret."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.operator.test_cli.conftest import Operator

SECRET = "geheim"


def typed(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-P", "-m", "edgefleet_operator", *words]
    plain = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run(command, env=plain | environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ALL_PROXY", f"socks5://u:{SECRET}@127.0.0.1:1", "httpx[socks]"),
        ("HTTP_PROXY", f"http://u:{SECRET}@127.0.0.1:1", "to go around it, add 127.0.0.1 to NO_PROXY"),
        ("HTTP_PROXY", f"http://u:{SECRET}@:::1", "HTTP_PROXY"),
        ("http_proxy", f"foo://u:{SECRET}@host", "http_proxy"),
        ("NO_PROXY", "http://[::1", "NO_PROXY"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "SSL_CERT_FILE"),
        ("SSL_CERT_FILE", __file__, "SSL_CERT_FILE"),
        ("EDGEFLEET_TOKEN", f"{SECRET}\nb", "copy it again"),
        ("EDGEFLEET_TOKEN", f"ü{SECRET}", "copy it again"),
        ("EDGEFLEET_API", f"http://u:{SECRET}@127.0.0.1:1", "give the API's token instead"),
        ("EDGEFLEET_API", f"http://u:{SECRET}@[::1", "http://***@[::1"),
    ],
)
def test_a_setting_that_cannot_be_obeyed_is_named_on_one_line(
    operator: Operator, name: str, value: str, says: str
) -> None:
    done = typed("device", "list", **{"EDGEFLEET_API": operator.url, name: value})
    assert done.returncode in (1, 2), done
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert SECRET not in done.stderr + done.stdout
    assert "internal error" not in done.stderr


@pytest.mark.parametrize(
    "harmless",
    [
        {"NO_PROXY": "127.0.0.1", "HTTP_PROXY": "http://127.0.0.1:1"},
        {"COLUMNS": "many"},
        {"TERM": "unheard-of"},
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        {"HOME": "/nowhere"},
        {"SSL_CERT_DIR": "/nowhere"},
    ],
    ids=lambda told: next(iter(told)),
)
def test_a_setting_that_matters_nothing_here_stops_nothing(operator: Operator, harmless: dict[str, str]) -> None:
    done = typed("device", "list", EDGEFLEET_API=operator.url, **harmless)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("EDGEFLEET_TOKN", "nothing reads EDGEFLEET_TOKN (did you mean EDGEFLEET_TOKEN?): correct or unset it"),
        ("EDGEFLEET_API_URL", "nothing reads EDGEFLEET_API_URL (did you mean EDGEFLEET_API?)"),
    ],
)
def test_a_variable_that_nothing_reads_is_told_on_one_line_and_the_command_runs(
    operator: Operator, name: str, says: str
) -> None:
    done = typed("device", "list", EDGEFLEET_API=operator.url, **{name: SECRET})
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1)
    assert done.stderr.startswith(f"edgefleet: warning: {says}")
    assert SECRET not in done.stderr
    help_of_serve = typed("serve", "--help", **{name: SECRET})
    assert says in help_of_serve.stderr and help_of_serve.returncode == 0


def test_what_plug_ins_and_agents_read_is_no_mistake(operator: Operator) -> None:
    of_others = {"EDGEFLEET_X_CACHE": "/tmp", "EDGEFLEET_DEVICE": "d", "EDGEFLEET_OPTIONS": "--tick 1"}
    done = typed("device", "list", EDGEFLEET_API=operator.url, **of_others)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_runs_in_a_folder_that_is_gone(operator: Operator, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    script = f'mkdir {gone} && cd {gone} && rmdir {gone} && exec "$0" -P -m edgefleet_operator device list'
    plain = {**os.environ, "EDGEFLEET_API": operator.url}
    done = subprocess.run(
        ["/bin/sh", "-c", script, sys.executable], env=plain, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
