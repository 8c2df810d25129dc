"""Peers side by side: what counts as an answer, and that a peer which fails is a row and holds no bar."""

import sys
from pathlib import Path

import pytest
from benchmarks.peers.candidates import PeerCandidate, bars, rivals
from benchmarks.peers.environments import STAMP, environment_of
from benchmarks.peers.errors import PeerError
from benchmarks.peers.peer_process import answer_in, ask
from benchmarks.peers.peer_request import PeerRequest
from benchmarks.peers.settings import MODULES, PEERS, Setting, classes_of, settings_for

from edgefleet_contract.metrics import Metrics

VNNI, AVX2 = "x86-vnni", "x86-avx2"


def request_to(folder: Path) -> PeerRequest:
    return PeerRequest("model.onnx", "calib.npy", str(folder / "made.onnx"), "image")


def script(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> str:
    """A peer's script of this test, for Python to find in the folder it is started in."""
    (folder / "peer_of_a_test.py").write_text(source)
    monkeypatch.chdir(folder)
    return "peer_of_a_test"


def candidate(
    peer: str, encoding_bytes: int = 1000, test: float = 0.92, made_for: str | None = VNNI, name: str = "default"
) -> PeerCandidate:
    metrics = Metrics(encoding_bytes=encoding_bytes, score_test=test)
    return PeerCandidate(peer, name, made_for, path=Path(f"{peer}.onnx"), metrics=metrics)


def all_peers(**figures: object) -> list[PeerCandidate]:
    return [candidate(peer, **figures) for peer in PEERS]  # type: ignore[arg-type]


def test_the_answer_is_the_last_line_whatever_is_printed_before() -> None:
    answer = answer_in('Collecting 100%\n{"seconds": 9}\n{"seconds": 1.5, "version": "3.4.0"}\n\n')
    assert (answer.seconds, answer.version) == (1.5, "3.4.0")


@pytest.mark.parametrize(
    "output", ["", "done\n", "[1.5]\n", '{"seconds": 1.5}\n', '{"seconds": "x", "version": "1"}\n']
)
def test_other_last_words_are_no_answer(output: str) -> None:
    with pytest.raises(PeerError, match="no answer"):
        answer_in(output)


def test_a_peer_that_is_not_installed_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="No module named 'nncf'"):
        ask(Path(sys.executable), MODULES["nncf"], request_to(tmp_path))


def test_a_peer_that_hangs_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = script(tmp_path, monkeypatch, "import time\ntime.sleep(60)\n")
    with pytest.raises(PeerError, match=r"no answer within 0\.5 s"):
        ask(Path(sys.executable), hangs, request_to(tmp_path), most_s=0.5)


def test_a_peer_that_answers_without_a_file_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    talks = script(tmp_path, monkeypatch, """print('{"seconds": 1, "version": "1"}')\n""")
    with pytest.raises(PeerError, match="wrote no file"):
        ask(Path(sys.executable), talks, request_to(tmp_path))


def test_an_environment_that_cannot_be_made_is_a_reason_and_counts_as_not_made(tmp_path: Path) -> None:
    (tmp_path / "nncf.txt").write_text("./not-there.whl\n")
    with pytest.raises(PeerError, match=r"nncf cannot be installed .*not-there\.whl"):
        environment_of("nncf", tmp_path / "state", requirements=tmp_path)
    assert not (tmp_path / "state" / "nncf" / STAMP).exists()


def test_every_peer_has_a_script_and_those_not_of_this_project_their_pins() -> None:
    folder = Path(sys.modules[Setting.__module__].__file__ or "").parent
    for peer in PEERS:
        assert (folder / f"{MODULES[peer].rpartition('.')[2]}.py").is_file()
    for peer in set(PEERS) - {"onnxruntime"}:
        lines = (folder / f"{peer}.txt").read_text().splitlines()
        assert all("==" in line for line in lines if not line.startswith("#"))
        assert any(line.startswith(f"{peer}==") for line in lines)


def test_weights_keep_to_seven_bits_only_where_products_saturate() -> None:
    asked = {
        s.instruction_set: s.options["reduce_range"] for s in settings_for((VNNI, AVX2)) if s.peer == "onnxruntime"
    }
    assert asked == {VNNI: False, AVX2: True}
    assert classes_of("x86-vnni") == (VNNI, AVX2) and classes_of("x86-avx2") == (AVX2,)


def test_a_peer_that_failed_is_a_row_with_its_reason_and_its_bars_are_not_measured() -> None:
    failed = PeerCandidate("nncf", "mixed", None, reason="nncf cannot be installed: no network")
    others = [c for c in all_peers() if c.side != "nncf"]
    assert failed.row()["reason"] == "nncf cannot be installed: no network"
    assert failed.row().keys() == others[0].row().keys()
    found = bars(candidate("edgefleet"), [failed, *others], {peer: 1.0 for peer in PEERS if peer != "nncf"}, VNNI)
    assert {bar.measured for bar in found if "nncf" in bar.id} == {None}
    assert {bar.ok for bar in found if "nncf" in bar.id} == {False}
    assert all(bar.ok for bar in found if "nncf" not in bar.id)


def test_without_ours_nothing_holds() -> None:
    assert not any(bar.ok for bar in bars(None, all_peers(), {}, VNNI))


def test_ours_is_held_to_the_best_of_a_peer_in_each_figure() -> None:
    peers = [*all_peers(encoding_bytes=1000, test=0.920), *all_peers(encoding_bytes=900, test=0.910, name="other")]
    found = {bar.id: bar for bar in bars(candidate("edgefleet", 945, 0.917), peers, {}, VNNI)}
    assert found["int8 to nncf: encoding bytes"].measured == pytest.approx(1.05)
    assert not found["int8 to nncf: encoding bytes"].ok
    assert found["int8 to nncf: points lost on test beyond it"].measured == pytest.approx(0.3)


def test_files_for_another_instruction_set_are_no_rivals() -> None:
    files = [candidate("nncf", made_for=None), candidate("olive-ai", made_for=AVX2), candidate("onnxruntime")]
    assert [len(rivals(files, peer, VNNI)) for peer in ("nncf", "olive-ai", "onnxruntime")] == [1, 0, 1]
