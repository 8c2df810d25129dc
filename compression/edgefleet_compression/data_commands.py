"""`edgefleet data`: packs files into the npz that `model add` takes. Needs no controller; mounted like `recipe`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from edgefleet_compression.errors import CompressionError, Unreadable
from edgefleet_compression.models.splits.data import SPLITS
from edgefleet_compression.onnx_graphs.sent import Colour, Fit
from edgefleet_compression.packing.listing import listed, names_in
from edgefleet_compression.packing.origins import Packer
from edgefleet_compression.packing.pack import PackStage, pack
from edgefleet_compression.packing.splitting import SplitPlan, usual_shares
from edgefleet_compression.packing.summary import print_summary
from edgefleet_compression.packing.words import PictureAxes, SoundType, read_shares, read_size, read_types
from edgefleet_compression.packing.writing import SUFFIX, check_place
from edgefleet_compression.printing import print_json

EXTRA = {"PIL": "pictures", "soundfile": "sounds", "soxr": "sounds of another rate"}
"""What needs a library of the extra `data`."""

app = typer.Typer(no_args_is_help=True, help="Pack your own files into the npz that `model add` takes.")

_Out = Annotated[Path, typer.Option(metavar=f"FILE{SUFFIX}", help="the file to write")]
_Shares = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=SHARE,...",
        help=f"how large each split is, of {', '.join(SPLITS)}; default: "
        + ",".join(f"{name}={share:.0%}" for name, share in usual_shares().items()),
    ),
]
_Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="draws the splits: another number, other splits")]
_Input = Annotated[
    str | None, typer.Option("--input", metavar="NAME", help="what the model calls its input; needed if it has several")
]
_Labels = Annotated[
    Path | None,
    typer.Option(metavar="FILE.csv", help="a csv with the columns file and label, and perhaps split and group"),
]
_Classes = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="the classes in the model's order, one a line; default: by name"),
]
_Skip = Annotated[bool, typer.Option("--skip", help="leave out what cannot be read, and say so")]
_Force = Annotated[bool, typer.Option("--force", help="replace a file that is there already")]
_AsJson = Annotated[bool, typer.Option("--json", help="print JSON, and nothing else, to stdout")]
_Size = Annotated[
    str | None, typer.Option(metavar="PIXELS|HEIGHTxWIDTH", help="the size to bring them to; default: their own")
]
_Colour = Annotated[Colour, typer.Option(help="the order of colours, or one grey")]
_PictureAxes = Annotated[
    PictureAxes, typer.Option(help="the order of axes: nhwc as cameras give them, nchw as most networks take them")
]
DATA = Path(f"data{SUFFIX}")
PREPROCESSING, BOXES = "[preprocessing]", "[answers.boxes]"
"""What a card has to say of frames, as cameras give them, and of boxes; the rest a file and its samples tell."""


@app.command()
def images(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="the pictures, in a folder for each class or flat")],
    size: _Size = None,
    fit: Annotated[Fit, typer.Option(help="what happens to what has other proportions")] = "crop",
    colour: _Colour = "rgb",
    axes: _PictureAxes = "nhwc",
    labels: _Labels = None,
    classes: _Classes = None,
    input_name: _Input = None,
    out: _Out = DATA,
    shares: _Shares = None,
    seed: _Seed = 0,
    skip: _Skip = False,
    force: _Force = False,
    as_json: _AsJson = False,
) -> None:
    """Pack pictures as uint8 samples, turned upright.

    Folders named train, calib, val and test at the top are splits; else they are drawn by seed. The same picture never
    gets into two splits.
    """

    def packer() -> Packer:
        from edgefleet_compression.packing.framing import Framing
        from edgefleet_compression.packing.pictures import PicturePacker

        framing = Framing(read_size(size), fit, colour, axes)
        return PicturePacker(listed(folder, labels, names_in(classes)), framing, input_name)

    _pack(packer, out, shares, seed, skip, force, as_json, (PREPROCESSING,) if axes == "nhwc" else ())


@app.command("csv")
def table(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="a table with a header, in UTF-8")],
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="the label: numbers, or names of classes; repeat for more"),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="an input; repeat, in the model's order; default: all others"),
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="a column that is no input; repeat for more")
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="an input for each column; else all are one")] = False,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="[COLUMN=]TYPE", help="of numbers, or of one column: float32, int64, text, ..."),
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="rows with the same value in it go to the same split")
    ] = None,
    split: Annotated[str | None, typer.Option(metavar="COLUMN", help="the column that says each row's split")] = None,
    delimiter: Annotated[str, typer.Option(help="what stands between cells; \\t is a tab")] = ",",
    classes: _Classes = None,
    input_name: _Input = None,
    out: _Out = DATA,
    shares: _Shares = None,
    seed: _Seed = 0,
    skip: _Skip = False,
    force: _Force = False,
    as_json: _AsJson = False,
) -> None:
    """Pack the rows of a table: all numbers as one input, or with --each an input for each column, texts too.

    A row with a missing value is refused. Rows that are alike never get into two splits.
    """

    def packer() -> Packer:
        from edgefleet_compression.packing.table_file import TableFile
        from edgefleet_compression.packing.tables import TableForm, TablePacker

        of_all, of_columns = read_types(types or [])
        form = TableForm(
            targets=tuple(target or ()),
            columns=tuple(column or ()),
            left_out=tuple(leave_out or ()),
            group=group,
            split=split,
            each=each,
            input=input_name,
            type=of_all,
            types=of_columns,
            classes=names_in(classes),
        )
        return TablePacker(TableFile(file, delimiter.replace("\\t", "\t")), form)

    if each and input_name is not None:
        raise typer.BadParameter("--each calls inputs by their columns: leave out --input")
    if len(delimiter.replace("\\t", "\t")) != 1:
        raise typer.BadParameter(f"--delimiter '{delimiter}' is not one character")
    _pack(packer, out, shares, seed, skip, force, as_json)


@app.command()
def wav(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="the recordings, in a folder for each class or flat")],
    rate: Annotated[
        int | None, typer.Option(min=1, metavar="HZ", help="numbers a second; default: the recordings' own")
    ] = None,
    length: Annotated[
        float | None, typer.Option(min=1e-6, metavar="SECONDS", help="cut or lengthen every recording to this")
    ] = None,
    window: Annotated[
        float | None, typer.Option(min=1e-6, metavar="SECONDS", help="cut every recording into samples of this length")
    ] = None,
    hop: Annotated[
        float | None, typer.Option(min=1e-6, metavar="SECONDS", help="how far windows are apart; default: their length")
    ] = None,
    step: Annotated[
        int | None, typer.Option(min=1, metavar="NUMBERS", help="make sequences of steps, for a model with state")
    ] = None,
    number_type: Annotated[SoundType, typer.Option("--type", help="-1 to 1 as float32, or int16")] = "float32",
    channel: Annotated[bool, typer.Option("--channel", help="give samples an axis for their one channel")] = False,
    labels: _Labels = None,
    classes: _Classes = None,
    input_name: _Input = None,
    out: _Out = DATA,
    shares: _Shares = None,
    seed: _Seed = 0,
    skip: _Skip = False,
    force: _Force = False,
    as_json: _AsJson = False,
) -> None:
    """Pack recordings (WAV, FLAC, OGG, MP3) as the mean of their channels.

    Windows of one recording never get into two splits.
    """
    if length is not None and window is not None:
        raise typer.BadParameter("--length makes one sample of a recording, --window several: give one of them")
    if hop is not None and window is None:
        raise typer.BadParameter("--hop says how far windows are apart: give --window, too")

    def packer() -> Packer:
        from edgefleet_compression.packing.sounds import SoundForm, SoundPacker

        form = SoundForm(rate, length, window, hop, step, number_type, channel)
        return SoundPacker(listed(folder, labels, names_in(classes)), form, input_name)

    _pack(packer, out, shares, seed, skip, force, as_json)


@app.command()
def coco(
    file: Annotated[Path, typer.Argument(metavar="FILE.json", help="boxes of pictures, as COCO writes them")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="the folder that its file names are from")],
    size: _Size = None,
    fit: Annotated[Fit, typer.Option(help="what happens to what has other proportions")] = "letterbox",
    colour: _Colour = "rgb",
    axes: _PictureAxes = "nhwc",
    classes: _Classes = None,
    input_name: _Input = None,
    out: _Out = DATA,
    shares: _Shares = None,
    seed: _Seed = 0,
    skip: _Skip = False,
    force: _Force = False,
    as_json: _AsJson = False,
) -> None:
    """Pack pictures with boxes: labels are [class, x1, y1, x2, y2] in the pixels of what is packed.

    Classes are numbered by the ids of categories. Boxes of crowds are left out.
    """

    def packer() -> Packer:
        from edgefleet_compression.packing.coco import CocoPacker, read_coco
        from edgefleet_compression.packing.framing import Framing

        framing = Framing(read_size(size), fit, colour, axes)
        return CocoPacker(read_coco(file), folder, framing, input_name, names_in(classes))

    _pack(packer, out, shares, seed, skip, force, as_json, (*([PREPROCESSING] if axes == "nhwc" else []), BOXES))


@app.command()
def npz(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="npz files, one a sample, in folders of splits or not")],
    labels: _Labels = None,
    classes: _Classes = None,
    input_name: _Input = None,
    out: _Out = DATA,
    shares: _Shares = None,
    seed: _Seed = 0,
    skip: _Skip = False,
    force: _Force = False,
    as_json: _AsJson = False,
) -> None:
    """Pack npz files that hold a sample each: `x`, or an array for each input, and perhaps its label `y`.

    Samples may have unequal shapes.
    """

    def packer() -> Packer:
        from edgefleet_compression.packing.single_samples import SingleSamplePacker

        return SingleSamplePacker(listed(folder, labels, names_in(classes)), input_name)

    _pack(packer, out, shares, seed, skip, force, as_json)


def _pack(
    packer: Callable[[], Packer],
    out: Path,
    shares: str | None,
    seed: int,
    skip: bool,
    force: bool,
    as_json: bool,
    tables: tuple[str, ...] = (),
) -> None:
    """Pack, show progress on a terminal, and tell what was packed, and which tables a card needs for it."""
    plan = SplitPlan(read_shares(shares), seed)
    with _told_on_one_line():
        check_place(out, force)
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bars: dict[PackStage, TaskID] = {
                stage: progress.add_task(stage, total=None) for stage in get_args(PackStage)
            }
            found = pack(
                packer(),
                out,
                plan,
                skip=skip,
                force=force,
                on_packed=lambda stage, done, total: progress.update(bars[stage], completed=done, total=total),
            )
    if as_json:
        print_json(found.plain())
    else:
        print_summary(found, tables)


@contextmanager
def _told_on_one_line() -> Iterator[None]:
    try:
        yield
    except CompressionError as error:
        skip = "; --skip leaves out what cannot be read" if isinstance(error, Unreadable) else ""
        raise typer.TyperException(" ".join(f"{error}{skip}".split())) from None
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        needs = f"packing {EXTRA[error.name]} needs {error.name}"
        raise typer.TyperException(f"{needs}: pip install 'edgefleet[data]'") from None
