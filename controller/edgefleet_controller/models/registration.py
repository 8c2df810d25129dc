"""Registers models: the files are blobs already, and the card says what they are."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from edgefleet_compression.errors import CompressionError
from edgefleet_compression.measures import measure_named
from edgefleet_compression.models.door.inspection import Findings, inspect_model
from edgefleet_compression.pricing.unscored import unscored
from edgefleet_contract.card import CARD_FILE, ModelCard, check_files, parse_card
from edgefleet_contract.errors import ContractError
from edgefleet_controller.clock import now_ms
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.errors import Invalid, Refused, StoreError
from edgefleet_controller.failpoints import reach
from edgefleet_controller.records import ModelRecord
from edgefleet_controller.store import FleetStore
from edgefleet_profiles.catalogue import Catalogue

log = logging.getLogger(__name__)


def take_upload(fleet: FleetStore, blobs: BlobFolder, name: str, size_bytes: int) -> None:
    """Record an uploaded file; one that cannot be recorded is deleted, to free its space.

    Args:
        fleet: to record it in.
        blobs: the folder with the file.
        name: its sha256.
        size_bytes: its size.
    """
    lies_since_ms = blobs.since_ms(name)
    try:
        fleet.registry.put_blob(name, size_bytes, deliverable=False)
    except StoreError:
        # Keep it if another request has recorded it, or uploaded it again since.
        if not fleet.registry.knows_blob(name):
            blobs.remove(name, lies_since_ms + 1, lambda _: None)
        raise


@dataclass(frozen=True)
class Registered:
    """A registered model, with remarks on its data; `not_checked` says why it was not looked at, None if it was."""

    model: ModelRecord
    not_checked: str | None = None
    remarks: tuple[str, ...] = ()


NO_TORCH = (
    "the controller has no torch, which looking at a built-in architecture takes, and compressing it, too: "
    "pip install 'edgefleet[controller,compression]' there"
)


def register_model(fleet: FleetStore, blobs: BlobFolder, catalogue: Catalogue, files: Mapping[str, str]) -> Registered:
    """Register a model version from the digests of its files.

    Args:
        fleet: to record it in.
        blobs: the folder with its files.
        catalogue: the profiles that its constraints may be for.
        files: the sha256 of each file, model.toml included, by its name in the model's folder.

    Raises:
        Invalid: the card is missing or wrong, or a file doesn't match it or cannot be used.
        NotFound: a file was not uploaded.
        Refused: this version is registered with other files.
    """
    if CARD_FILE not in files:
        raise Invalid(f"{CARD_FILE} is missing: a model is a folder with a card")
    try:
        card = parse_card(blobs.read(files[CARD_FILE]).decode("utf-8"))
        paths = {name: blobs.path(sha256) for name, sha256 in files.items()}
        check_files(card, paths)
        _check_constraints(card, catalogue)
        model_file = card.onnx or card.weights
        assert model_file is not None  # by the card's own check
        not_checked = NO_TORCH if card.door == "architecture" and find_spec("torch") is None else None
        found: Findings | None = None
        if not_checked is not None:
            log.warning("%s is not checked: %s", card.ref, not_checked)
        else:
            found = inspect_model(paths[model_file.file], paths[card.data.file], card)
            _check_scores(card, found)
    except (CompressionError, ContractError, UnicodeDecodeError) as error:
        raise Invalid(str(error)) from None
    reach("model_checked")
    remarks = found.remarks if found else ()
    wanted = {CARD_FILE: files[CARD_FILE], **card.files}
    known = fleet.registry.find_model(card.name, card.version)
    if known:
        if known.files != wanted:
            raise Refused(f"{known.ref} is registered with other files: raise the version in {CARD_FILE}")
        return Registered(known, not_checked, remarks)
    model = ModelRecord(
        name=card.name,
        version=card.version,
        files=wanted,
        card=card,
        created_ms=now_ms(),
        reading=found.reading if found else None,
    )
    fleet.registry.put_model(model)
    reach("model_registered")
    return Registered(model, not_checked, remarks)


def _check_scores(card: ModelCard, found: Findings) -> None:
    """Refuse constraints on a score that no variant will have."""
    measure = measure_named(found.reading.task)
    if why := unscored(card.constraints, measure, labelled=found.labelled):
        raise Invalid(f"{CARD_FILE}: {why}")


def _check_constraints(card: ModelCard, catalogue: Catalogue) -> None:
    """Refuse constraints that would bind nobody, as a wrong name makes them."""
    profiles = [str(profile) for profile in catalogue.profiles()]
    if idle := [f"'{c.profile}'" for c in card.constraints if not any(map(c.matches, profiles))]:
        raise Invalid(
            f"{CARD_FILE} has constraints for {', '.join(idle)}, which no profile of the catalogue matches: "
            "see `edgefleet profile list`"
        )
