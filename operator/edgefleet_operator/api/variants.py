"""Lists and rebuilds variants, what compression made of models."""

from collections.abc import Iterator

from edgefleet_contract.operations import OperationRecord
from edgefleet_contract.pages import Page
from edgefleet_contract.variants import VariantView
from edgefleet_operator.http import Http, at


class Variants:
    """`client.variants`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def all(self, model: str | None = None, limit: int | None = None) -> Iterator[VariantView]:
        """Iterate over all variants, or those of one model version, at most `limit`."""
        return self._http.items(Page[VariantView], "/variants", limit, model=model)

    def get(self, variant: str) -> VariantView:
        """Get a variant by its full id."""
        return self._http.shape(VariantView, "GET", at("/variants", variant))

    def rebuild(self, variant: str) -> OperationRecord:
        """Start to build a variant again and compare; `client.operations.wait` has the result."""
        return self._http.shape(OperationRecord, "POST", f"{at('/variants', variant)}/rebuilds")
