"""TOML that the grammar allows and nobody can work with."""

DEPTH = 3000
UNUSABLE = {
    "nested lists": f"a = {'[' * DEPTH}{']' * DEPTH}",
    "nested tables": f"a = {'{a=' * DEPTH}1{'}' * DEPTH}",
    "dotted keys": f"{'.'.join('a' * DEPTH)} = 1",
    "a long hexadecimal number": f"a = 0x{'f' * 6000}",
    "a long number": f"a = {'9' * 6000}",
}
