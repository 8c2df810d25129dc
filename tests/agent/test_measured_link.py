"""Which chunks a device asks for, by the rate of its link."""

from pathlib import Path

import pytest

from edgefleet_agent.flow import LEAST_KBPS
from edgefleet_agent.measured_link import FILE, KeptRate, MeasuredLink
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.parts import CHUNK_BYTES, THIN_CHUNK_BYTES
from edgefleet_protocol.chunks import Sending


@pytest.mark.parametrize(
    ("link", "measured_kbps", "chunk_bytes"),
    [
        ("lte", None, CHUNK_BYTES),
        ("lte", 64.0, CHUNK_BYTES),
        ("lte", 30.0, THIN_CHUNK_BYTES),
        ("nb-2g", None, THIN_CHUNK_BYTES),
        ("nb-2g", 20.0, THIN_CHUNK_BYTES),
    ],
)
def test_small_chunks_are_asked_for_where_a_large_one_would_take_long(
    tmp_path: Path, link: str, measured_kbps: float | None, chunk_bytes: int
) -> None:
    (tmp_path / FILE).write_text(KeptRate(link=link, kbps=measured_kbps).model_dump_json())
    assert MeasuredLink(tmp_path, load_catalogue().link[link]).max_chunk_bytes == chunk_bytes


def test_a_rate_of_almost_nothing_is_kept_too(tmp_path: Path) -> None:
    link = MeasuredLink(tmp_path, load_catalogue().link["lte"])
    for sent_ms, arrived_s in ((0, 0.0), (10, 8.0)):  # the hash list of a single chunk, long under way
        link.flow.arrived(29, Sending(sent_ms, 5000), arrived_s)
    link.keep()
    assert KeptRate.model_validate_json((tmp_path / FILE).read_bytes()).kbps == LEAST_KBPS
