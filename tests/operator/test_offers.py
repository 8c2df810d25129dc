"""Files are offered before they are sent: what the controller refuses or holds costs no upload."""

import shutil
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from tests.operator.transports import Played
from tests.service import EXAMPLE, api_of, running_service

from edgefleet_contract.card import CARD_FILE
from edgefleet_operator import Client
from edgefleet_operator.errors import Invalid

MODEL = {
    "model": "fashion@1",
    "name": "fashion",
    "version": 1,
    "task": "classification",
    "labels": [],
    "files": {},
    "created_ms": 1,
}
WANTED, HELD = ({"held": held} for held in (False, True))


def problem(status: int, detail: str) -> httpx.Response:
    return httpx.Response(status, json={"title": "no", "status": status, "detail": detail})


def sent(played: Played) -> list[str]:
    return [f"{request.method} {request.url.path.split('/')[3]}" for request in played.asked]


def test_all_files_are_offered_before_the_first_is_sent() -> None:
    played = Played(
        [
            *(httpx.Response(200, json=WANTED) for _ in range(3)),
            *[httpx.Response(204)] * 3,
            httpx.Response(201, json=MODEL),
        ]
    )
    Client("http://controller", transport=played.transport).models.add(EXAMPLE)
    assert sent(played) == ["POST blobs"] * 3 + ["PUT blobs"] * 3 + ["POST models"]


def test_what_is_held_is_not_sent_again() -> None:
    answers = [*(httpx.Response(200, json=found) for found in (HELD, WANTED, HELD)), httpx.Response(204)]
    played = Played([*answers, httpx.Response(201, json=MODEL)])
    Client("http://controller", transport=played.transport).models.add(EXAMPLE)
    assert sent(played) == ["POST blobs"] * 3 + ["PUT blobs", "POST models"]


def test_a_refused_file_is_named_and_nothing_is_sent() -> None:
    played = Played([httpx.Response(200, json=WANTED), problem(422, "the file has too many bytes: make it smaller")])
    with pytest.raises(Invalid, match=r"^'.+' cannot be taken: the file has too many bytes: make it smaller$"):
        Client("http://controller", transport=played.transport).models.add(EXAMPLE)
    assert sent(played) == ["POST blobs"] * 2


def test_a_controller_of_0_1_that_knows_no_offers_gets_the_files() -> None:
    absent = [problem(404, "there is nothing at /api/v1/blobs")] * 3
    played = Played([*absent, *[httpx.Response(204)] * 3, httpx.Response(201, json=MODEL)])
    Client("http://controller", transport=played.transport).models.add(EXAMPLE)
    assert sent(played)[3:] == ["PUT blobs"] * 3 + ["POST models"]


def test_a_real_controller_takes_nothing_of_a_model_whose_weights_it_refuses(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(EXAMPLE, folder)
    card = (folder / CARD_FILE).read_text()
    weights = folder / "weights.safetensors"
    before = _sha256(weights)
    weights.write_bytes(b"<html>not found</html>")
    (folder / CARD_FILE).write_text(card.replace(before, _sha256(weights)))
    with (
        running_service(tmp_path / "state") as service,
        api_of(service) as url,
        Client(url) as client,
        pytest.raises(Invalid, match=r"'weights.safetensors' cannot be taken: this is not a safetensors file: save"),
    ):
        client.models.add(folder)
    assert not [path for path in (tmp_path / "state" / "blobs").rglob("*") if path.is_file()]


def _sha256(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
