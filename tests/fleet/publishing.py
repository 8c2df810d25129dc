"""Small models published into a controller's state folder as the controller publishes its own."""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tests.fleet.asking import PROFILE
from tests.outcomes import outcome, recorded

from edgefleet_compression.recipes.recipe import shipped_recipes
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.models.publishing import Publisher
from edgefleet_controller.records import ChoiceRecord
from edgefleet_controller.store import Store
from edgefleet_controller.store.sqlite import open_store
from edgefleet_profiles.parts import CHUNK_BYTES
from edgefleet_protocol.answers import pack_answers
from edgefleet_protocol.chunks import hash_list
from edgefleet_protocol.encoding import compress_file
from edgefleet_protocol.manifest import Encoding, Manifest, verify
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.tasks.classification import TASK

WEIGHTS = np.random.default_rng(7).normal(size=(784, 10)).astype(np.float32) / 28
Node = Any


def model_of(
    nodes: Sequence[Node] = (),
    functions: Sequence[Any] = (),
    domains: Sequence[str] = (),
    padding_bytes: int = 0,
    takes: int = TensorProto.UINT8,
) -> bytes:
    """image [N,1,28,28] -> logits [N,10]; `nodes` make the logits of `plain`, padding makes the file larger.

    They may read `cast`, the picture as real numbers, and `seen`, the same from 0 to 1.
    """
    start = [
        helper.make_node("Cast", ["image"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["cast", "scale"], ["seen"]),
        helper.make_node("Flatten", ["seen"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["plain"]),
    ]
    scale = numpy_helper.from_array(np.array(1 / 255, np.float32), "scale")
    rest = list(nodes) or [helper.make_node("Identity", ["plain"], ["logits"])]
    padding = np.random.default_rng(padding_bytes).integers(0, 256, padding_bytes, np.uint8)
    padded = [numpy_helper.from_array(padding, "pad")] if padding_bytes else []
    graph = helper.make_graph(
        [*start, *rest],
        "of a test",
        [helper.make_tensor_value_info("image", takes, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(WEIGHTS, "w"), scale, *padded],
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=list(functions))
    return bytes(made.SerializeToString())


class Press:
    """Publishes versions of `fashion`, each with one variant for one profile."""

    def __init__(self, store: Store, blobs: BlobFolder, scratch: Path) -> None:
        self._store, self._blobs, self._scratch = store, blobs, scratch
        self._publisher = Publisher(store.fleet, blobs)
        self._base = store.fleet.registry.variants("fashion", 1)[0]
        core = verify(blobs.read(self._base.manifest), self._base.manifest).core
        assert core.golden
        with np.load(io.BytesIO(blobs.read(core.golden.sha256))) as archive:
            images = archive["inputs"].astype(np.float32) / 255
        self._golden = blobs.read(core.golden.sha256)
        self._logits = images.reshape(len(images), -1) @ WEIGHTS

    def publish(
        self,
        version: int,
        onnx: bytes,
        profile: str = PROFILE,
        *,
        changes: dict[str, Any] | None = None,
        right_answers: bool = True,
        packed: bytes | None = None,
        name: str = "fashion",
        memory_mb: float | None = 10.0,
    ) -> Manifest:
        """Publish a version; `changes` are made to its manifest, `packed` stands in for its encoding."""
        store = self._store
        model = store.fleet.registry.model("fashion", 1).model_copy(update={"version": version, "name": name})
        store.fleet.registry.put_model(model)
        path = self._scratch / f"{version}.onnx"
        path.write_bytes(onnx)
        compress_file(path, encoding := self._scratch / f"{version}.encoding")
        logits = self._logits if right_answers else self._logits[:, ::-1]
        made = outcome(
            onnx_path=path,
            encoding_path=encoding,
            metrics=self._base.metrics.model_copy(update={"peak_rss_mb": memory_mb, "peak_address_mb": memory_mb}),
            recorded=recorded(
                golden=self._golden, answers=pack_answers(TASK.reduce([logits], Spec())), probabilities=None
            ),
            unfolded_bytes=math.prod(WEIGHTS.shape) * 4,
            steps=(),
        )
        recipe = shipped_recipes()["fp32"]
        variant = self._publisher.publish(model, recipe, made, instruction_sets=())
        written = verify(self._blobs.read(variant.manifest), variant.manifest)
        if packed is not None:
            changes = {**(changes or {}), "encodings": [self._encoding(packed)]}
        if changes:
            written = Manifest.model_validate(written.model_dump() | changes)
            ref = self._publisher.deliver(written.to_bytes())
            variant = variant.model_copy(update={"manifest": ref.sha256, "manifest_bytes": ref.size_bytes})
        reasons = {variant.id: "a test wants it"}
        choice = ChoiceRecord(model=name, version=version, profile=profile, variant=variant.id, reasons=reasons)
        store.fleet.registry.put_variants([variant], [choice])
        return written

    def _encoding(self, packed: bytes) -> Encoding:
        hashes = self._publisher.deliver(hash_list(packed, CHUNK_BYTES))
        blob = self._publisher.deliver(packed)
        return Encoding(kind="zstd", blob=blob, chunk_bytes=CHUNK_BYTES, chunk_hashes=hashes)


@contextmanager
def press_in(state: Path, scratch: Path) -> Iterator[Press]:
    """A press for the state folder of a controller that does not run."""
    store = open_store(state)
    try:
        yield Press(store, BlobFolder(state / "blobs"), scratch)
    finally:
        store.close()
