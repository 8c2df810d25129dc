"""Turns errors into refusals: in the worker that raises them, and in the caller that lost a worker."""

from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from functools import wraps
from typing import TypeVar

from edgefleet_compression import errors
from edgefleet_compression.builds.messages import RefusalReason, WorkRefused
from edgefleet_contract.errors import CardError, ContractError
from edgefleet_tasks.errors import AnswerNotFinite

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")

REASONS: tuple[tuple[type[Exception], RefusalReason], ...] = (
    (CardError, "bad_model"),
    (errors.GraphError, "bad_model"),
    (errors.ArchitectureError, "bad_model"),
    (errors.DataError, "bad_data"),
    (errors.NotApplicable, "not_applicable"),
    (errors.RecipeError, "bad_recipe"),
    (errors.DeclarationError, "bad_step"),
    (errors.NothingChanged, "nothing_changed"),
    (errors.StepError, "step_failed"),
    (errors.MeasureError, "not_measured"),
    (AnswerNotFinite, "not_measured"),
    (errors.WorkerTimeoutError, "timed_out"),
    (errors.WorkerMemoryError, "out_of_memory"),
    (errors.WorkerLostError, "worker_lost"),
    (MemoryError, "out_of_memory"),
    (errors.CalledOff, "stopped"),
    (CancelledError, "stopped"),
)
"""The first match counts."""


def refusing(work: Callable[[Request], Outcome]) -> Callable[[Request], Outcome | WorkRefused]:
    """Make a worker function return its errors as refusals."""

    @wraps(work)
    def worked(request: Request) -> Outcome | WorkRefused:
        try:
            return work(request)
        except Exception as error:  # libraries raise anything, and the other builds go on
            return refusal_of(error)

    return worked


def settled(future: Future[Outcome]) -> Outcome | WorkRefused:
    """The outcome of a future that is done; a lost worker is a refusal too."""
    try:
        return future.result()
    except Exception as error:
        return refusal_of(error)


def refusal_of(error: Exception) -> WorkRefused:
    """The refusal for an error, its sentence in one line."""
    reason: RefusalReason = next((reason for kind, reason in REASONS if isinstance(error, kind)), "unexpected")
    if isinstance(error, errors.CompressionError | ContractError):
        sentence = str(error)
    elif isinstance(error, AnswerNotFinite):
        sentence = f"what was made does not answer: {error}: correct the recipe"
    elif errors.is_full_disk(error):
        reason = "full_disk"
        sentence = "the disk is full: make room for the controller's state folder, then compress again"
    elif isinstance(error, ModuleNotFoundError):
        reason = "not_installed"
        sentence = f"{error.name} is not installed: pip install 'edgefleet[compression]', then compress again"
    else:
        sentence = f"unexpected {type(error).__name__} ({error}): report it with the recipe and the model card"
    return WorkRefused(reason, " ".join(sentence.split()))
