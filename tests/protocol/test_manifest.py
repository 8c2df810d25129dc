"""The manifest: identity of a variant, trust in the bytes, and which encoding is fetched."""

import json

import pytest

from edgefleet_protocol.canonical import canonical_json, digest
from edgefleet_protocol.errors import CorruptBlob, MalformedMessage
from edgefleet_protocol.manifest import MAX_MANIFEST_BYTES, BlobRef, Core, Encoding, Manifest, Preprocessing, verify

ONNX = BlobRef(sha256="ab" * 32, size_bytes=400_000)
GOLDEN = BlobRef(sha256="cd" * 32, size_bytes=50_000)


def encoding(chunk_bytes: int, kind: str = "zstd", size_bytes: int = 100_000) -> Encoding:
    return Encoding(
        kind=kind,
        blob=BlobRef(sha256=digest(kind.encode()), size_bytes=size_bytes),
        chunk_bytes=chunk_bytes,
        chunk_hashes=BlobRef(sha256=digest(str(chunk_bytes).encode()), size_bytes=-(-size_bytes // chunk_bytes) * 16),
    )


def manifest(core: Core | None = None, encodings: tuple[Encoding, ...] = (), recipe: str = "int8") -> Manifest:
    core = core or Core(onnx=ONNX, golden=GOLDEN)
    return Manifest(model="fashion", model_version=1, recipe=recipe, core=core, encodings=encodings)


def test_two_runtime_settings_of_one_file_are_two_variants() -> None:
    plain = Core(onnx=ONNX)
    tuned = Core(onnx=ONNX, runtime={"session.disable_prepacking": "1"})
    assert manifest(plain).variant != manifest(tuned).variant


def test_everything_that_changes_the_answers_changes_the_variant() -> None:
    cores = [
        Core(onnx=ONNX),
        Core(onnx=GOLDEN),
        Core(onnx=ONNX, golden=GOLDEN),
        Core(onnx=ONNX, labels=("shirt", "coat")),
        Core(onnx=ONNX, labels=("coat", "shirt")),
        Core(onnx=ONNX, preprocessing=Preprocessing(scale=1 / 255)),
        Core(onnx=ONNX, task="regression"),
    ]
    assert len({manifest(core).variant for core in cores}) == len(cores)


def test_what_does_not_change_the_answers_does_not_change_the_variant() -> None:
    one = manifest(Core(onnx=ONNX, runtime={"a": "1", "b": "2"}))
    same = manifest(Core(onnx=ONNX, runtime={"b": "2", "a": "1"}), (encoding(4096),), recipe="by-hand")
    assert one.variant == same.variant
    assert one.to_bytes() != same.to_bytes()


def test_the_id_of_a_known_variant_never_changes() -> None:
    core = Core(onnx=ONNX, runtime={"x": "ü"}, preprocessing=Preprocessing(scale=1 / 255), golden=GOLDEN)
    text = '{"golden":{"sha256":"CD","size_bytes":50000},"labels":[],"onnx":{"sha256":"AB","size_bytes":400000},'
    text += '"preprocessing":{"scale":0.00392156862745098},"runtime":{"x":"ü"},"task":"classification"}'
    text = text.replace("CD", "cd" * 32).replace("AB", "ab" * 32)
    assert manifest(core).variant == digest(text.encode())


def test_a_scale_of_older_controllers_is_read_and_without_one_inputs_are_taken_as_they_are() -> None:
    assert Core(onnx=ONNX, preprocessing=Preprocessing(scale=1 / 255)).scale == 1 / 255
    sent = manifest(Core(onnx=ONNX))
    assert b"preprocessing" not in sent.to_bytes()
    assert verify(sent.to_bytes(), digest(sent.to_bytes())).core.scale == 1


def test_the_variant_is_the_same_on_both_sides_of_the_wire() -> None:
    sent = manifest(Core(onnx=ONNX, preprocessing=Preprocessing(scale=1), golden=GOLDEN), (encoding(4096),))
    read = verify(sent.to_bytes(), digest(sent.to_bytes()))
    assert read == sent
    assert read.variant == sent.variant
    assert read.to_bytes() == sent.to_bytes()


def test_other_bytes_than_the_ones_named_are_refused() -> None:
    data = manifest().to_bytes()
    with pytest.raises(CorruptBlob):
        verify(data + b" ", digest(data))


@pytest.mark.parametrize("data", [b"", b"{}", b"null", b"\xff", b"[" * 50_000, b" " * (MAX_MANIFEST_BYTES + 1)])
def test_the_right_bytes_that_are_no_manifest_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        verify(data, digest(data))


@pytest.mark.parametrize("chunk_bytes", [0, -1, 1, 2**30])
def test_a_chunk_size_that_no_link_takes_is_refused(chunk_bytes: int) -> None:
    fields = json.loads(manifest(encodings=(encoding(4096),)).to_bytes())
    fields["encodings"][0]["chunk_bytes"] = chunk_bytes
    data = canonical_json(fields)
    with pytest.raises(MalformedMessage):
        verify(data, digest(data))


def test_a_link_gets_the_largest_chunks_that_it_takes() -> None:
    both = manifest(encodings=(encoding(4096), encoding(49_152), encoding(1024)))
    for link, expected in ((100_000, 49_152), (49_152, 49_152), (8000, 4096), (1024, 1024), (1000, 1024)):
        chosen = both.encoding_for(link)
        assert chosen
        assert chosen.chunk_bytes == expected


def test_an_encoding_of_an_unknown_kind_is_passed_over() -> None:
    known = encoding(4096)
    assert manifest(encodings=(encoding(49_152, "brotli-patch"), known)).encoding_for(60_000) == known
    assert manifest(encodings=(encoding(49_152, "brotli-patch"),)).encoding_for(60_000) is None


def test_delivery_bytes_are_everything_that_a_device_downloads() -> None:
    full = manifest(encodings=(encoding(4096, size_bytes=100_000),))
    assert full.delivery_bytes(4096) == len(full.to_bytes()) + 50_000 + 100_000 + 25 * 16


def test_equal_values_are_equal_bytes_and_nan_is_refused() -> None:
    assert canonical_json({"b": 1, "a": ["ü", None]}) == '{"a":["ü",null],"b":1}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})
