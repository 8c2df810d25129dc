"""The agent answers feedback as its page says, row by row."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.agent.endpoint import INFER, Device, body, post

PAGE = (Path(__file__).parents[2] / "docs" / "agent.md").read_text()
SECTION = re.split(r"^### ", PAGE.partition("### Feedback\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
ROW = re.compile(r"^\| `(.+?)` \| (\d{3}) \| `(\{.+?\})`(?:: .+)? \|$", re.MULTILINE)


@pytest.fixture
def device(tmp_path: Path, make_variant: Callable[..., Any]) -> Iterator[Device]:
    one = Device(tmp_path, make_variant())
    yield one
    one.endpoint.close()
    one.pets.stop()


def test_each_body_gets_the_answer_that_the_page_shows(device: Device) -> None:
    post(device.url, INFER, body())
    rows = ROW.findall(SECTION)
    assert len(rows) == SECTION.count("| 200 |") + SECTION.count("| 400 |") + SECTION.count("| 404 |") > 10
    shown = [(sent, int(status), json.loads(answer)) for sent, status, answer in rows]
    assert [(sent, *post(device.url, "/edgefleet/v1/feedback", sent.encode())) for sent, *_ in shown] == shown


def test_every_field_that_is_taken_is_on_the_page(device: Device) -> None:
    _, said = post(device.url, "/edgefleet/v1/feedback", b'{"odd": 1}')
    taken = set(re.findall(r"\w+", said["error"].partition(":")[2])) - {"and", "or"}
    assert set(re.findall(r"^\| `([a-z]+)` \|", SECTION, flags=re.MULTILINE)) == taken
