"""Topics: what is built is what is parsed, and nothing else is."""

import pytest

from edgefleet_protocol import topics
from edgefleet_protocol.errors import MalformedTopic

DIGEST = "ab" * 32


@pytest.mark.parametrize("kind", topics.UP_KINDS)
def test_what_a_device_speaks_on_names_the_device_and_the_kind(kind: topics.UpKind) -> None:
    assert topics.parse_up(topics.up("cam-7", kind)) == topics.UpTopic("cam-7", kind)


def test_a_blob_topic_names_the_content_and_the_channel() -> None:
    assert topics.parse_blob(topics.blob(DIGEST, "nb-2g")) == topics.BlobTopic(DIGEST, topics.Lane("nb-2g"))


def test_topics_are_the_ones_of_the_design() -> None:
    assert topics.desired("cam-7") == "edgefleet/v1/down/cam-7/desired"
    assert topics.acked("cam-7") == "edgefleet/v1/down/cam-7/acked"
    assert topics.HELLO == "edgefleet/v1/down/all/hello"
    assert topics.up("cam-7", "want") == f"edgefleet/v1/up/{topics.shard('cam-7')}/cam-7/want"
    assert topics.up_filters("want") == "edgefleet/v1/up/+/+/want"
    assert topics.blob(DIGEST, "wifi") == f"edgefleet/v1/blobs/{DIGEST}/wifi"


def test_the_shard_is_the_first_byte_of_the_device_ids_sha256() -> None:
    assert topics.shard("cam-7") == "be"
    assert len({topics.shard(f"d{i}") for i in range(4000)}) == 256


def on_shard_of(device: str) -> str:
    return f"edgefleet/v1/up/{topics.shard(device)}/{device}/want"


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "edgefleet/v1/up",
        "edgefleet/v2/up/00/cam-7/want",
        "edgefleet/v1/down/cam-7/desired",
        topics.up("cam-7", "want") + "/more",
        topics.up("cam-7", "want").replace("want", "wish"),
        topics.up("cam-7", "want").replace(topics.shard("cam-7"), "zz"),
        on_shard_of("Cam"),
        on_shard_of("cam.7"),
        on_shard_of("cam-7\n"),
        on_shard_of(""),
        on_shard_of("c" * 65),
        on_shard_of("-cam"),
        on_shard_of("#"),
        "x" * 65_000,
    ],
)
def test_a_topic_that_is_none_of_ours_is_refused(topic: str) -> None:
    with pytest.raises(MalformedTopic) as refused:
        topics.parse_up(topic)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "topic",
    [
        f"edgefleet/v1/blobs/{DIGEST}",
        f"edgefleet/v1/blobs/{DIGEST}/wifi/0",
        f"edgefleet/v1/blobs/{DIGEST[:-1]}/wifi",
        f"edgefleet/v1/blobs/{DIGEST.upper()}/wifi",
        f"edgefleet/v1/blobs/{DIGEST}/wi fi",
        f"edgefleet/v1/blobs/{DIGEST}/wifi\n",
        f"edgefleet/v1/blobs/{DIGEST}/",
    ],
)
def test_a_blob_topic_that_is_none_of_ours_is_refused(topic: str) -> None:
    with pytest.raises(MalformedTopic):
        topics.parse_blob(topic)
