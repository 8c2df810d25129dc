"""The model card, model.toml: what a model is, which files it comes with, and what its variants must meet.

Nothing here runs or unpickles a model's files: a card is text, weights are safetensors or part of an ONNX file,
and data is an npz without objects.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, to_json

from edgefleet_contract.card_answers import CardAnswers
from edgefleet_contract.card_part import CardPart
from edgefleet_contract.card_pictures import CardPostprocessing, CardPreprocessing
from edgefleet_contract.card_states import CardStatePair, CardStates, sequence_state
from edgefleet_contract.errors import CardError
from edgefleet_contract.formats import refuse_pickles, refuse_pickles_by_name
from edgefleet_profiles.description import DescriptionOnly
from edgefleet_profiles.errors import NotToml
from edgefleet_profiles.faults import place_of, words_of
from edgefleet_profiles.names import Name
from edgefleet_profiles.plain_text import shows
from edgefleet_profiles.profile import Constraints
from edgefleet_profiles.spelling import nearest_field
from edgefleet_profiles.toml import parse_toml
from edgefleet_protocol.features import FIRST_TASK
from edgefleet_protocol.fields import Digest, Word
from edgefleet_protocol.signature import MAX_RANK, MAX_TENSORS
from edgefleet_protocol.state import SequenceState

CARD_FILE = "model.toml"
MAX_LABEL = 200
"""Characters of a label, as a manifest holds them."""
SAFE = {"weights": ".safetensors", "onnx": ".onnx", "data": ".npz"}
DOORS: dict[str, tuple[str, ...]] = {"architecture": ("architecture", "weights"), "onnx": ("onnx",)}
SOURCES: dict[str, Literal["torch", "brought"]] = {"architecture": "torch", "onnx": "brought"}


class FileRef(CardPart):
    """A file in the model's folder, by its relative path and its sha256."""

    file: str
    sha256: Digest

    @field_validator("file")
    @classmethod
    def _stays_in_the_folder(cls, file: str) -> str:
        path = PurePosixPath(file)
        if not file or path.is_absolute() or ".." in path.parts or "\\" in file or "\0" in file:
            raise ValueError(f"'{file}' leads out of the model's folder: name a file inside it")
        try:
            refuse_pickles_by_name(file)
        except CardError as error:
            raise ValueError(str(error)) from None
        return file


class ArchitectureRef(CardPart):
    """A built-in architecture and its arguments."""

    name: str
    args: dict[str, int | str] = Field(default_factory=dict)


class Input(CardPart):
    """An input: its name in the graph, and the shape of one sample; without a shape, samples say it."""

    name: Annotated[str, Field(min_length=1, max_length=1024)] = "input"
    shape: Annotated[tuple[Annotated[int, Field(gt=0, lt=2**31)], ...], Field(max_length=MAX_RANK)] | None = None


class Golden(CardPart):
    """How many samples of the val split the self-test on the device uses."""

    samples: Annotated[int, Field(gt=0, le=1024)] = 32


class ModelCard(CardPart):
    """A model as its author describes it; `pins` holds figures for the author's own tests.

    `door` says what the model is: a built-in architecture with weights, or an ONNX file. Only the latter may leave out
    `labels`, its classes are then numbered; and the task and inputs, which its file and samples tell. `batch` is "none"
    if the model takes each sample whole, whatever its first axis looks like.
    """

    name: Name
    version: Annotated[int, Field(ge=1, le=999_999_999)] = 1
    task: Word | None = None
    labels: tuple[str, ...] = ()
    door: Literal["architecture", "onnx"] = "architecture"
    architecture: ArchitectureRef | None = None
    weights: FileRef | None = None
    onnx: FileRef | None = None
    data: FileRef
    input: Input | None = None
    inputs: Annotated[tuple[Input, ...], Field(max_length=MAX_TENSORS)] = ()
    batch: Literal["guess", "none"] = "guess"
    answers: CardAnswers = CardAnswers()
    state: Annotated[tuple[CardStatePair, ...], Field(max_length=MAX_TENSORS)] = ()
    states: CardStates = CardStates()
    preprocessing: CardPreprocessing = CardPreprocessing()
    postprocessing: CardPostprocessing = CardPostprocessing()
    golden: Golden = Golden()
    constraints: list[Constraints] = Field(default_factory=list)
    pins: Annotated[dict[str, Any], DescriptionOnly("figures for the author's own tests")] = Field(default_factory=dict)

    @field_validator("weights", "onnx", "data")
    @classmethod
    def _is_a_format_that_runs_no_code(cls, ref: FileRef | None, info: Any) -> FileRef | None:
        if ref and not ref.file.endswith(SAFE[info.field_name]):
            raise ValueError(f"'{ref.file}' must end in {SAFE[info.field_name]}: convert the file")
        return ref

    @model_validator(mode="after")
    def _has_what_its_door_takes(self) -> "ModelCard":
        for door, parts in DOORS.items():
            for part in parts:
                if (getattr(self, part) is not None) != (door == self.door):
                    raise ValueError(f"door '{self.door}' {'needs' if door == self.door else 'takes no'} [{part}]")
        if self.door == "architecture":
            self._is_a_classifier()
        if self.input is not None and self.inputs:
            raise ValueError("[input] and [[inputs]] say the same: keep [[inputs]]")
        sequence_state(self.state, self.states)
        if self.postprocessing.most is not None and self.answers.boxes is None:
            raise ValueError("postprocessing.most is of boxes: say at answers.boxes which outputs hold them")
        return self

    def _is_a_classifier(self) -> None:
        if len(self.labels) < 2:
            raise ValueError("labels must be two or more: name the classes in the order of the model's answers")
        if self.task not in (None, FIRST_TASK):
            raise ValueError(f'a built-in architecture is for {FIRST_TASK}: bring other models as ONNX, door = "onnx"')
        others = self.inputs or self.state or self.batch != "guess" or self.answers != CardAnswers()
        if others or self.postprocessing != CardPostprocessing():
            raise ValueError(
                "inputs, batch, answers, postprocessing and state are for door 'onnx': an architecture takes none"
            )
        if not self.preprocessing.is_scale_alone:
            raise ValueError("a built-in architecture takes a scale alone in preprocessing: bring others as ONNX")
        if self.input is None or not self.input.shape:
            raise ValueError("a built-in architecture needs input.shape: the shape of one sample, without the batch")

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample of a built-in architecture."""
        assert self.input is not None and self.input.shape is not None  # by the card's own check
        return self.input.shape

    @property
    def sequences(self) -> SequenceState | None:
        """What the model keeps from one step of a sequence to the next."""
        return sequence_state(self.state, self.states)

    @property
    def described(self) -> tuple[Input, ...]:
        """The inputs that the card describes."""
        return self.inputs or (() if self.input is None else (self.input,))

    @property
    def ref(self) -> str:
        """`fashion@1`."""
        return f"{self.name}@{self.version}"

    @property
    def files(self) -> dict[str, str]:
        """The files that the card names, with their sha256."""
        return {ref.file: ref.sha256 for ref in (self.weights, self.onnx, self.data) if ref}

    @property
    def source(self) -> Literal["torch", "brought"]:
        """The kind of source that a recipe starts from."""
        return SOURCES[self.door]


def parse_card(text: str) -> ModelCard:
    """Parse the text of a model.toml.

    Raises:
        CardError: the text is not TOML, or not a valid card.
    """
    try:
        # By way of JSON, which has arrays only, strict validation takes lists for tuples, and no text for a number.
        card = ModelCard.model_validate_json(to_json(parse_toml(text), inf_nan_mode="constants"), strict=True)
    except NotToml as error:
        raise CardError(f"{CARD_FILE} is not TOML ({error}): correct it") from None
    except ValidationError as error:
        raise CardError(f"{CARD_FILE}{'; '.join(map(_fault, error.errors()))}") from None
    _check_labels(card.labels)
    if "states" in card.model_fields_set and not card.state:
        raise CardError(f"{CARD_FILE}: [states] is about the pairs of [[state]]: name these, or leave it out")
    idle = {"preprocessing": card.preprocessing.idle_key, "postprocessing": card.postprocessing.idle_key}
    for table, why in idle.items():
        if why is not None:
            raise CardError(f"{CARD_FILE}, {table}: {why}")
    return card


def _check_labels(labels: tuple[str, ...]) -> None:
    """Refuse classes that a manifest cannot name, or feedback cannot mean; not in the card, as stores hold older ones.

    Raises:
        CardError: a label is blank, too long, or there twice.
    """
    if blank := [number for number, label in enumerate(labels, start=1) if not shows(label)]:
        raise CardError(f"{CARD_FILE}, labels: label {blank[0]} is blank: give each class a name that people can read")
    if wrong := [label for label in labels if not 1 <= len(label) <= MAX_LABEL]:
        raise CardError(f"{CARD_FILE}, labels: '{wrong[0][:20]}' has {len(wrong[0])} characters: give 1 to {MAX_LABEL}")
    if twice := [label for label, count in Counter(labels).items() if count > 1]:
        raise CardError(f"{CARD_FILE}, labels has '{twice[0]}' twice: each class needs a name of its own")


def _fault(error: ErrorDetails) -> str:
    """Where a card is wrong, and why."""
    where = place_of(error)
    if error["type"] == "extra_forbidden":
        return f": '{where}' is not known here: {nearest_field(ModelCard, error['loc'])}"
    return f"{f', {where}' if where else ''}: {words_of(error)}"


def load_card(folder: Path) -> ModelCard:
    """The card of a model's folder, after checking that every file it names is there with the right sha256.

    Raises:
        CardError: no card, an invalid card, or a file that is missing or has another sha256.
    """
    path = folder / CARD_FILE
    if folder.is_file():
        refuse_pickles(folder.name, folder)
        raise CardError(f"'{folder.name}' is a file: give the folder of a model, or an ONNX file with its --data")
    if not path.is_file():
        raise CardError(f"{folder} has no {CARD_FILE}: give the folder of a model")
    try:
        card = parse_card(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise CardError(f"{path} is not UTF-8: save it as UTF-8 text") from None
    root = folder.resolve()
    paths = {name: root / name for name in card.files}
    for name, file in paths.items():
        try:
            outside = not file.resolve().is_relative_to(root)
        except (OSError, RuntimeError) as error:  # a loop of links; a RuntimeError up to Python 3.12
            raise CardError(f"'{name}' cannot be followed: {error}") from None
        if outside:
            raise CardError(f"'{name}' is a link to outside {folder}: put the file itself there")
    check_files(card, paths)
    return card


def check_files(card: ModelCard, files: Mapping[str, Path]) -> None:
    """Check that each file of the card is there, has the card's sha256, and holds no code.

    Args:
        card: the card.
        files: the path of each file, by its name in the card.

    Raises:
        CardError: a file is missing, has other content, or is a pickle under another name.
    """
    paths = {name: path for name in card.files if (path := files.get(name)) is not None and path.is_file()}
    if missing := [f"'{name}'" for name in card.files if name not in paths]:
        named = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} named in {CARD_FILE}"
        raise CardError(f"{named} but missing: add the file{'s' * (len(missing) > 1)}")
    for name, digest in card.files.items():
        path = paths[name]
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            raise CardError(f"'{name}' has sha256 {found}, but {CARD_FILE} says {digest}: correct whichever is wrong")
        refuse_pickles(name, path)
