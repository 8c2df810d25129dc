"""No SQL stands outside the store; that nobody else imports SQLite is held by the import contracts."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import edgefleet_controller

PACKAGE = Path(edgefleet_controller.__file__).parent
STORE = PACKAGE / "store" / "sqlite"
SQL = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+(OR\s+\w+\s+)?INTO|REPLACE\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM"
    r"|(CREATE|ALTER|DROP)\s+(TEMP\s+)?(TABLE|INDEX|VIEW|TRIGGER)|PRAGMA\s+\w+|BEGIN\s+(IMMEDIATE|EXCLUSIVE))\b",
    re.IGNORECASE | re.DOTALL,
)


def statements(path: Path) -> Iterator[str]:
    """Strings that read as SQL; docstrings are prose."""
    tree = ast.parse(path.read_text())
    prose = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
        if is_text and SQL.search(node.value):
            yield f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.value[:80]}"


def test_sql_stands_in_the_sqlite_store_alone() -> None:
    outside = [path for path in sorted(PACKAGE.rglob("*.py")) if STORE not in path.parents]
    assert len(outside) > 50
    assert [found for path in outside for found in statements(path)] == []


def test_it_would_be_found() -> None:
    assert sum(len(list(statements(path))) for path in STORE.glob("*.py")) > 50
