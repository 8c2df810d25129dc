"""`edgefleet data csv`: rows become typed inputs; what is missing or of another type is named by its row and column."""

from pathlib import Path

import numpy as np
import pytest
from tests.compression.packing import Packing

SPLITS = ("calib", "val", "test")


@pytest.fixture
def packing(tmp_path: Path) -> Packing:
    return Packing(tmp_path)


def table(folder: Path, header: str, *rows: str, encoding: str = "utf-8") -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding=encoding)
    return path


def plants(folder: Path) -> Path:
    """Thirty rows: 2 x is the kind's number plus noise, and the place is a text."""
    rows = [f"{n % 3 + n / 100:.2f},{n},{['Oslo', 'Århus, DK'][n % 2]!r},{['a', 'b', 'c'][n % 3]}" for n in range(30)]
    return table(folder, "length,count,place,kind", *(row.replace("'", '"') for row in rows))


def test_all_numbers_are_one_matrix_and_a_target_of_names_becomes_classes(packing: Packing) -> None:
    told = packing.packs("csv", plants(packing.folder), "--target", "kind", "--leave-out", "place", "--input", "X")
    arrays = packing.arrays
    assert told["classes"] == ["a", "b", "c"]
    assert told["splits"]["val"]["classes"] == {"a": 4, "b": 4, "c": 4}
    assert (arrays["x_val/X"].dtype, arrays["x_val/X"].shape) == (np.dtype(np.float32), (12, 2))
    for name in SPLITS:
        length, count = arrays[f"x_{name}/X"].T
        assert np.array_equal(arrays[f"y_{name}"], count % 3)
        assert np.allclose(length, count % 3 + count / 100)


def test_each_column_is_an_input_of_its_own_type(packing: Packing) -> None:
    packing.types("csv", plants(packing.folder), "--target", "kind", "--each", "--type", "length=float64")
    arrays = packing.arrays
    kinds = {name: (arrays[f"x_val/{name}"].dtype.kind, arrays[f"x_val/{name}"].shape) for name in ("length", "count")}
    assert kinds == {"length": ("f", (12, 1)), "count": ("i", (12, 1))}
    assert arrays["x_val/length"].dtype == np.float64
    places = arrays["x_val/place"]
    assert places.dtype == np.dtype("U9") and places.shape == (12, 1)
    odd = arrays["x_val/count"][:, 0] % 2 == 1
    assert set(places[odd, 0]) == {"Århus, DK"} and set(places[~odd, 0]) == {"Oslo"}


def test_columns_are_in_the_order_in_which_they_are_named(packing: Packing) -> None:
    packing.types("csv", plants(packing.folder), "--column", "count", "--column", "length")
    assert packing.arrays["x_val"][:, 0].max() > 3 > packing.arrays["x_val"][:, 1].max()
    assert "y_val" not in packing.arrays


def test_numbers_as_targets_stay_numbers(packing: Packing) -> None:
    path = table(packing.folder, "a,b,c", *(f"{n},{n * 2},{n / 2}" for n in range(20)))
    packing.types("csv", path, "--target", "b")
    assert packing.arrays["y_val"].dtype == np.int64
    assert np.array_equal(packing.arrays["y_val"], packing.arrays["x_val"][:, 0] * 2)
    packing.types("csv", path, "--target", "b", "--target", "c", "--force")
    assert np.array_equal(packing.arrays["y_val"], packing.arrays["x_val"] * np.float32([2, 0.5]))


def test_rows_that_are_alike_or_of_one_group_stay_in_one_split(packing: Packing) -> None:
    path = table(packing.folder, "x,who,y", *(f"{n // 3},{n // 6},{n % 2}" for n in range(60)))
    for words, column in (((), 3), (("--group", "who"), 6)):
        packing.types("csv", path, "--target", "y", "--leave-out" if not words else "--group", "who", "--force")
        seen = [set((packing.arrays[f"x_{name}"][:, 0] * 3 // column).tolist()) for name in SPLITS]
        assert sum(map(len, seen)) == len(set.union(*seen)) == 60 // column


def test_a_column_may_say_the_split(packing: Packing) -> None:
    names = ["train"] * 10 + ["val"] * 4 + ["test"] * 4
    path = table(packing.folder, "x,part,y", *(f"{n},{name},{n % 2}" for n, name in enumerate(names)))
    told = packing.packs("csv", path, "--target", "y", "--split", "part")
    assert {name: split["samples"] for name, split in told["splits"].items()} == {
        "calib": 2,
        "train": 8,
        "val": 4,
        "test": 4,
    }
    assert set(packing.arrays["x_val"][:, 0]) == {10, 11, 12, 13}
    path = table(packing.folder, "x,part", *(f"{n},vall" for n in range(9)))
    assert "has the split 'vall': did you mean 'val'?" in packing.types(
        "csv", path, "--split", "part", "--force", code=1
    )


def test_a_missing_value_is_refused_by_row_and_column_or_left_out(packing: Packing) -> None:
    rows = [f"{n},{n % 7}" for n in range(20)]
    rows[4], rows[9], rows[11] = "4,", "nan,3", "NA,3"
    path = table(packing.folder, "x,y", *rows)
    said = packing.types("csv", path, "--target", "y", code=1)
    assert "of table.csv has" in said and "; --skip leaves out what cannot be read" in said
    told = packing.packs("csv", path, "--target", "y", "--skip")
    assert {one["reason"] for one in told["left_out"]} == {
        "row 5 of table.csv has no 'y': fill it in, or leave the row out",
        "row 10 of table.csv has 'nan' for 'x', which is no float32",
        "row 12 of table.csv has 'NA' for 'x', which is no float32",
    }
    assert sum(split["samples"] for split in told["splits"].values()) == 17


def test_a_word_among_the_numbers_of_a_target_is_a_missing_value(packing: Packing) -> None:
    path = table(packing.folder, "x,y", *(f"{n},{'NA' if n == 7 else n / 4}" for n in range(20)))
    assert "row 8 of table.csv has 'NA' for 'y', which is no float" in packing.types(
        "csv", path, "--target", "y", code=1
    )
    told = packing.packs("csv", path, "--target", "y", "--skip")
    assert len(told["left_out"]) == 1 and packing.arrays["y_val"].dtype.kind == "f"


def test_cells_over_several_lines_and_marks_of_other_programs_are_read(packing: Packing) -> None:
    rows = [f'{n},"two ""lines""\n and {n}"' for n in range(12)]
    path = table(packing.folder, "x,text", *rows, encoding="utf-8-sig")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    packing.types("csv", path, "--each")
    for x, text in zip(packing.arrays["x_val/x"], packing.arrays["x_val/text"], strict=True):
        assert text[0] == f'two "lines"\r\n and {x[0]}'


@pytest.mark.parametrize(
    ("text", "words", "told"),
    [
        ("", (), "is empty: begin it with a line that names the columns"),
        ("a,b\n", (), "has no rows below its header"),
        ("a;b\n1;2\n", (), "has one column, 'a;b': give --delimiter ';'"),
        ("a,a\n1,2\n", (), "has two columns 'a': give each a name of its own"),
        ("a,\n1,2\n", (), "column 2 of"),
        ("a,b\n1,2\n1\n", (), "row 2 of table.csv has 1 cells, and the header 2"),
        ('a,b\n1,"2\n', (), "row 1 of"),
        ("a,b\n1,x\n", (), "'b' holds texts ('x' in row 1 of table.csv): leave it out with --leave-out"),
        ("a,b\n1,2\n", ("--target", "bb"), "there is no column 'bb': did you mean 'b'?"),
        ("a,b\n1,2\n", ("--target", "a", "--column", "a"), "'a' cannot be an input and something else"),
        ("a\n1\n", ("--target", "a"), "no column is left for an input"),
        ("a,b\n1,2\n", ("--type", "float23"), "there is no type 'float23': did you mean 'float32'?"),
        ("a,b\n1,2\nx,4\n", ("--each",), "'a' holds numbers, and 'x' in row 2 of table.csv: say what it is"),
        ("a,b\n300,2\n" * 1, ("--type", "int8"), "leaves calib empty"),
        ("a\n" + "1\n" * 30, (), "which stay together in 1 groups, leaves"),
    ],
)
def test_a_table_that_cannot_be_meant_is_told_in_one_line(
    packing: Packing, text: str, words: tuple[str, ...], told: str
) -> None:
    path = packing.folder / "table.csv"
    path.write_text(text)
    assert told in packing.types("csv", path, *words, code=1)


def test_a_number_beyond_its_type_is_refused(packing: Packing) -> None:
    path = table(packing.folder, "a", *(str(n * 30) for n in range(12)))
    assert "for 'a', which is no int8" in packing.types("csv", path, "--type", "int8", code=1)
    path = table(packing.folder, "a", *(f"1e{n * 4}" for n in range(12)))
    assert "for 'a', which is no float16" in packing.types("csv", path, "--type", "float16", code=1)


def test_a_file_in_another_encoding_is_refused(packing: Packing) -> None:
    path = table(packing.folder, "a,b", *(f"{n},Århus" for n in range(12)), encoding="latin-1")
    assert "table.csv is not UTF-8: write it again in UTF-8" in packing.types("csv", path, "--each", code=1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--each", "--input", "X"), "--each calls inputs by their columns: leave out --input"),
        (("--delimiter", ";;"), "--delimiter ';;' is not one character"),
        (("--type", "int8", "--type", "int64"), "--type gives all numbers two types: give one"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(
    packing: Packing, words: tuple[str, ...], told: str
) -> None:
    assert told in packing.types("csv", plants(packing.folder), *words, code=2)
