"""Whatever is printed fits a terminal of any usual width, and nothing of it is cut."""

import io
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from edgefleet_contract.operations import OperationRecord
from edgefleet_operator.printing import print_table

WIDTHS = (80, 100, 120)
LISTINGS = ("device list", "variant list", "profile list", "rollout list", "segment list", "model list", "alert list")
SHOWN = ("model show fashion@1", "variant show bbbb", "profile show eu/rpi4/lte", "device show a-device-with-a-name")
DONE = {"id": "op-succeeded", "kind": "compress", "target": "fashion@1", "state": "succeeded", "created_ms": 1}


def signs(text: str) -> Counter[str]:
    """How often each sign is shown, but for blanks and rules, and for digits, as time passes."""
    return Counter(sign for sign in text if not sign.isspace() and not sign.isdigit() and sign not in "─━…")


@pytest.fixture
def whole(operator: Any) -> Callable[..., None]:
    """See that a command shows at each width what it shows without a limit."""

    def looks(*words: str) -> None:
        everything = signs(operator.types(*words, columns=1000).stdout)
        for width in WIDTHS:
            shown = operator.types(*words, columns=width).stdout
            assert max(map(len, shown.splitlines())) <= width, words
            assert signs(shown) == everything and "…" not in shown, (words, width)

    return looks


def test_listings_and_what_they_list(whole, operator, join, published: str) -> None:
    join("a-device-with-a-name", "b")
    operator.types("segment", "save", "europe", "region=eu")
    rollout = operator.reads("rollout", "start", published, "--segment", "europe")["id"]
    for words in (*LISTINGS, *SHOWN, f"rollout show {rollout} --devices"):
        whole(*words.split())


def test_a_plan(whole, join, published: str) -> None:
    join("a-device-with-a-name", "b", measured_kbps=20.0)
    join("z", region="na")
    whole("rollout", "plan", published, "--all")


def test_what_compress_ends_with(whole, builds, published: str) -> None:
    result = {"variants": ["b" * 64], "failed": {"int8 (arm-neon)": "worse than chance"}}
    builds(OperationRecord.model_validate({**DONE, "changed_ms": 2, "result": result}))
    whole("compress", published, "--profile", "eu/rpi4/lte")


@pytest.mark.parametrize("last", ["why...", "why"])
@pytest.mark.parametrize("columns", range(2, 11))
def test_any_table_at_any_width(columns: int, last: str) -> None:
    names = ("profile", *(f">figure {'abcdefgh'[at]}" for at in range(columns - 2)), last)
    reason = "a reason of many words, which may wrap" if last.endswith("...") else "short"
    row = ("eu/rpi/lte (sim)", *["1,234.5 ms"] * (columns - 2), reason)
    everything = signs("".join(name.strip(">.") for name in names) + "".join(row))
    for width in range(40, 180):
        out = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
        print_table(names, [row], out=out)
        shown = out.file.getvalue()
        assert signs(shown) == everything, f"{width}: {shown}"
        assert max(map(len, shown.splitlines())) <= width
