"""Starts builds, which compress models."""

from collections.abc import Sequence

from edgefleet_contract.builds import NewBuild, NewSearch
from edgefleet_contract.operations import OperationRecord
from edgefleet_contract.recipes import RecipeTable
from edgefleet_operator.http import Http, refusing


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
        """Start to build a model's variants and choose one for each profile; `client.operations.wait` has the result.

        Args:
            model: the model version, for example fashion@1.
            profiles: the profiles to choose for; None means those of all known devices.
            recipes: names of shipped recipes, or tables of your own; None means all shipped ones.
            search: search for variants instead of using given recipes.

        Raises:
            ApiError: the controller refused the request or didn't answer.
        """
        given = None if recipes is None else [r if isinstance(r, str) else r.model_dump(mode="json") for r in recipes]
        named = None if profiles is None else list(profiles)
        with refusing():
            new = NewBuild(model=model, profiles=named, recipes=given, search=search)
        return self._http.shape(OperationRecord, "POST", "/builds", body=new)
