"""What does not change while an agent runs is read from the disk once, not for every report."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.broker

# Python runs this before anything else; it writes each file and library that the process opens to a file.
WITNESS = """
import os, sys
seen = os.open(os.environ["OPENED_IN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def witness(event, args):
    if event in ("open", "ctypes.dlopen"):
        os.write(seen, f"{event} {args[0]}\\n".encode())
sys.addaudithook(witness)
"""


def test_reports_windows_and_answers_open_nothing_but_the_state_folder(
    agent: Any, stand_in: Any, make_variant: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITNESS)
    opened = tmp_path / "opened"
    agent.install(make_variant())
    agent.start(OPENED_IN=str(opened), PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    stand_in.wait(lambda s: s.reports and s.reports[-1].models["pets"].answering)

    def go_on(answers: int) -> None:
        reports, windows = len(stand_in.reports), len(stand_in.windows)
        for number in range(answers):
            assert agent.infer(id=f"r{number}")[0] == 200
            agent.call("/edgefleet/v1/feedback", {"model": "pets", "id": f"r{number}", "label": "cat"})
        stand_in.wait(lambda s: len(s.reports) > reports + 3 and len(s.windows) > windows)

    go_on(3)  # the first of each kind may read what is read once
    before = len(opened.read_text().splitlines())
    assert before > 100, "the witness sees nothing"
    go_on(10)
    anew = opened.read_text().splitlines()[before:]
    assert [line for line in anew if str(agent.state) not in line] == []
