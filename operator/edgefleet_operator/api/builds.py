"""Compressing models."""

from collections.abc import Sequence

from edgefleet_contract.builds import NewBuild, NewSearch
from edgefleet_contract.operations import OperationRecord
from edgefleet_contract.recipes import RecipeTable
from edgefleet_operator.http import Http, asking


class Builds:
    """`client.builds`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def start(
        self,
        model: str,
        *,
        profiles: Sequence[str] | None = None,
        recipes: Sequence[str | RecipeTable] | None = None,
        search: NewSearch | None = None,
    ) -> OperationRecord:
        """Build variants of a model and choose one for each profile: `client.operations.wait` gives what came of it.

        Args:
            model: as in fashion@1.
            profiles: to choose for; None are those of all known devices.
            recipes: names of shipped ones, or tables of your own; None are all shipped ones.
            search: look for variants in place of given recipes.

        Raises:
            ApiError: it is refused, or there is no answer.
        """
        given = [r if isinstance(r, str) else r.model_dump(mode="json") for r in recipes or ()]
        new = asking(
            NewBuild,
            model=model,
            profiles=list(profiles) if profiles else None,
            recipes=given or None,
            search=search,
        )
        return self._http.shape(OperationRecord, "POST", "/builds", body=new)
