"""The manifest: what a device needs to trust and run a variant."""

import json
from collections.abc import Collection
from typing import Annotated, Any

from pydantic import Field, field_serializer, model_validator

from edgefleet_profiles.names import Name
from edgefleet_protocol.canonical import canonical_json, digest, digest_of
from edgefleet_protocol.errors import CorruptBlob, MalformedMessage
from edgefleet_protocol.features import FIRST_TASK, PROVIDERS, STATE, TENSORS, task_feature
from edgefleet_protocol.fields import Count, Digest, Share, Word
from edgefleet_protocol.messages import MAX_FEATURES, Message, Part, decode, tuples
from edgefleet_protocol.runtime_options import providers_in
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import Spec
from edgefleet_protocol.state import SequenceState

MAX_MANIFEST_BYTES = 128 * 1024


class BlobRef(Part):
    """A blob by its digest and its size in bytes."""

    sha256: Digest
    size_bytes: Count


class Preprocessing(Part):
    """How raw inputs become the model's: x * scale. Read, and no longer written: it is in the file."""

    scale: Annotated[float, Field(gt=0)] = 1.0


class Core(Part):
    """What identifies a variant; the sha256 of its canonical JSON is the variant's id.

    `runtime` holds onnxruntime session configuration entries that the agent applies, and perhaps the execution
    providers to ask for, see `runtime_options`: one file with two settings makes two variants. `spec` is absent if it
    is the default one, `signature` if it is what a session tells of one input and one output that both begin with the
    batch.
    """

    onnx: BlobRef
    runtime: dict[Word, Word] = Field(default_factory=dict)
    preprocessing: Preprocessing | None = None
    task: Word = "classification"
    labels: tuple[Word, ...] = ()
    golden: BlobRef | None = None
    spec: Spec | None = None
    signature: Signature | None = None
    state: SequenceState | None = None

    @property
    def scale(self) -> float:
        """What inputs are multiplied by, in float; 1 in all that is published now."""
        return 1.0 if self.preprocessing is None else self.preprocessing.scale

    @property
    def wrong_state(self) -> str | None:
        """Why the state cannot be kept; None if it can, or there is none."""
        if self.state is None:
            return None
        if self.signature is None:
            return "a state needs the signature that has its inputs and outputs"
        try:
            self.state.check(self.signature)
        except ValueError as error:
            return str(error)
        return None

    @property
    def needs(self) -> tuple[str, ...]:
        """The features that an agent must have to obey this, beyond what 0.1.0 can, sorted."""
        task = () if self.task == FIRST_TASK else (task_feature(self.task),)
        tensors = () if self.signature is None else (TENSORS,)
        providers = (PROVIDERS,) if providers_in(self.runtime) else ()
        return tuple(sorted((*task, *tensors, *providers, *((STATE,) if self.state else ()))))

    @field_serializer("signature")
    def _as_told(self, signature: Signature | None) -> dict[str, Any] | None:
        return signature.told() if signature else None

    @field_serializer("state")
    def _state_without_defaults(self, state: SequenceState | None) -> dict[str, Any] | None:
        return state.told() if state else None

    @field_serializer("spec")
    def _without_defaults(self, spec: Spec | None) -> dict[str, Any] | None:
        """What a spec does not say is left out, so that a field which a later version adds changes no variant's id."""
        return spec.told() if spec else None


class ReducedAnswers(Part):
    """This variant's answers to the golden set on the host that built it, each reduced by its task, as a blob.

    The self-test passes if the answers agree to at least `min_agreement` on average, no number in them differs by more
    than `max_difference`, and they are at most `max_scaling` times as large or as small. `recorded_on` is the
    instruction set and `provider` the execution provider of that host.
    """

    blob: BlobRef
    min_agreement: Annotated[float, Field(gt=0, le=1)]
    max_difference: Annotated[float, Field(ge=0, lt=1)]
    max_scaling: Annotated[float, Field(ge=1)]
    recorded_on: Word
    provider: Word


class Expected(Part):
    """A classifier's answers to the golden set in the form of version 0.1.0, inside the manifest.

    `probabilities` is [samples][classes], the softmax of whatever the model gives. The self-test passes if at least
    `min_same_top1` of the samples have the recorded top-1 and no probability differs by more than `max_difference`.
    """

    probabilities: tuple[tuple[Share, ...], ...]
    min_same_top1: Count
    max_difference: Share
    recorded_on: Word


class Encoding(Part):
    """The bytes of a variant on the wire; a device ignores kinds that it does not know.

    One encoding may be listed with two chunk sizes, for fast and slow links. `chunk_hashes` is a blob with the
    first 16 bytes of each chunk's sha256.
    """

    kind: Word
    blob: BlobRef
    chunk_bytes: Annotated[int, Field(ge=1024, le=256 * 1024)]
    chunk_hashes: BlobRef
    base: Digest | None = None


class Memory(Part):
    """The memory that loading a variant and answering one sample added to a process of the build host, at its peaks.

    `address_bytes` is the address space, which the worker's limit counts; it exceeds what is ever resident.
    """

    resident_bytes: Count
    address_bytes: Count


class Manifest(Message):
    """Everything about one variant that a device needs.

    `variant` is the sha256 of the core's canonical JSON, computed if left out. It is stored because a reader that
    does not know a newer field of the core cannot compute it from what it has parsed.

    `unfolded_bytes` is the memory that the weights take once low-bit ones are unfolded; a worker's memory limit
    follows from it. None if it was not counted: the size of the file is used instead.

    `memory` was measured at the build; the worker's limit follows it, and a device that it does not fit refuses the
    variant. None if it was not measured.

    `answers` are the recorded answers to the golden set; in a manifest for agents of version 0.1.0, `expected` takes
    their place.

    `needs` lists the features without which an agent would run the variant differently than intended.
    """

    variant: Digest = ""
    model: Name
    model_version: Count
    recipe: Word
    core: Core
    answers: ReducedAnswers | None = None
    expected: Expected | None = None
    encodings: tuple[Encoding, ...]
    instruction_sets: tuple[Word, ...] = ()
    min_onnxruntime: Word = "1.20"
    unfolded_bytes: Count | None = None
    memory: Memory | None = None
    needs: Annotated[tuple[Word, ...], Field(max_length=MAX_FEATURES)] = ()

    @model_validator(mode="before")
    @classmethod
    def _names_its_core(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and "variant" not in fields and isinstance(fields.get("core"), Core):
            core = fields["core"].model_dump(mode="json", exclude_none=True)
            return {**fields, "variant": digest_of(core)}
        return tuples(fields)

    def to_bytes(self) -> bytes:
        """The manifest's blob."""
        return canonical_json(self.model_dump(mode="json", exclude_none=True))

    def encoding_for(self, max_chunk_bytes: int) -> Encoding | None:
        """The full encoding to fetch over a link: the one with the largest chunks that the link allows."""
        known = [e for e in self.encodings if e.kind == "zstd"]
        fitting = [e for e in known if e.chunk_bytes <= max_chunk_bytes]
        if not fitting:  # all are too large for the link: take the smallest
            return min(known, key=lambda e: e.chunk_bytes, default=None)
        return max(fitting, key=lambda e: e.chunk_bytes)

    def delivery_bytes(self, max_chunk_bytes: int) -> int:
        """All that a device with an empty disk downloads for this variant, in bytes."""
        return len(self.to_bytes()) + self.missing_bytes(max_chunk_bytes, ())

    def missing_bytes(self, max_chunk_bytes: int, held: Collection[str]) -> int:
        """What a device downloads beside the manifest, in bytes.

        Args:
            max_chunk_bytes: the largest chunk that its link takes.
            held: the digests of files that its slots hold: ONNX files, golden sets and answers.
        """
        blobs = [blob for blob in self.tested_with if blob.sha256 not in held]
        if self.core.onnx.sha256 not in held and (encoding := self.encoding_for(max_chunk_bytes)):
            blobs += [encoding.blob, encoding.chunk_hashes]
        return sum(blob.size_bytes for blob in blobs)

    @property
    def slot_files(self) -> tuple[BlobRef, ...]:
        """What a slot of this variant holds beside the manifest."""
        return (self.core.onnx, *self.tested_with)

    @property
    def tested_with(self) -> tuple[BlobRef, ...]:
        """The blobs of the self-test: the golden set, and the answers unless they are in the manifest."""
        return tuple(blob for blob in (self.core.golden, self.answers and self.answers.blob) if blob)


def verify(data: bytes, expected_digest: str) -> Manifest:
    """Verify a manifest: its digest, and that its core is the variant's; signatures will be checked here.

    Raises:
        CorruptBlob: the digest differs, or the core is not the variant's.
        MalformedMessage: the bytes are not a manifest.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise MalformedMessage(f"a manifest of {len(data)} bytes is too large: at most {MAX_MANIFEST_BYTES}")
    if digest(data) != expected_digest:
        raise CorruptBlob(f"the manifest's sha256 is {digest(data)}, not {expected_digest}")
    manifest = decode(Manifest, data)
    core = digest_of(json.loads(data)["core"])
    if manifest.variant != core:
        raise CorruptBlob(f"the manifest names variant {manifest.variant}, but its core is {core}")
    return manifest
