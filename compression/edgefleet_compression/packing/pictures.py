"""Packs pictures: a folder for each class, or a list of labels, or no labels at all."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from edgefleet_compression.errors import DataError
from edgefleet_compression.packing.framing import Framing, framed
from edgefleet_compression.packing.listing import FileList
from edgefleet_compression.packing.origins import PackedSample, SampleOrigin

DEEP = ("I", "F")
"""How the modes of pictures with more than 8 bits a colour begin."""


@dataclass(frozen=True)
class PicturePacker:
    """The pictures of a folder."""

    files: FileList
    framing: Framing
    input: str | None = None

    @property
    def inputs(self) -> tuple[str | None, ...]:
        """One."""
        return (self.input,)

    @property
    def origins(self) -> tuple[SampleOrigin, ...]:
        """A file each."""
        return self.files.origins

    @property
    def classes(self) -> tuple[str, ...]:
        """As the files say."""
        return self.files.classes

    def read(self, place: int) -> Iterator[PackedSample]:
        """Read a picture.

        Raises:
            DataError: it cannot be read.
        """
        picture = upright(opened_picture(self.files.paths[place], self.files.origins[place].name))
        yield PackedSample((framed(picture, self.framing).pixels,), self.files.label(place))


def opened_picture(path: Path, name: str) -> Image.Image:
    """A picture, the first one of an animation, with all its pixels read.

    Args:
        path: the file.
        name: what it is called to people.

    Raises:
        DataError: it is none, or broken, or has more than 8 bits a colour.
    """
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # of odd metadata, which nothing here reads
            picture = Image.open(file)
            picture.load()
    except UnidentifiedImageError:
        raise DataError(f"{name} is no picture") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{name} has more pixels than are read: at most {Image.MAX_IMAGE_PIXELS:,}") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise DataError(f"{name} is broken ({' '.join(str(error).split())})") from None
    if picture.mode.startswith(DEEP):
        raise DataError(f"{name} has more than 8 bits a colour: write it with 8")
    return picture


def upright(picture: Image.Image) -> Image.Image:
    """The picture as cameras mean it: turned as its EXIF orientation says."""
    turned = ImageOps.exif_transpose(picture)
    assert turned is not None  # only in place it returns nothing
    return turned
