"""The contract's classes are no test modules, and their assertions are told all the same."""

from pathlib import Path

import pytest

pytest.register_assert_rewrite(
    *(f"tests.controller.store.contract.{path.stem}" for path in (Path(__file__).parent / "contract").glob("*.py"))
)
