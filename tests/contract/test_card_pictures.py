"""The tables of a card for pre- and postprocessing: every key is obeyed, or refused in one line."""

import pytest

from edgefleet_contract.card import ModelCard, parse_card
from edgefleet_contract.errors import CardError

DIGEST = "0" * 64
HEAD = f"""
name = "a"
door = "onnx"
labels = ["cat", "dog"]
[onnx]
file = "a.onnx"
sha256 = "{DIGEST}"
[data]
file = "a.npz"
sha256 = "{DIGEST}"
"""
MODULE = f"""
name = "a"
labels = ["cat", "dog"]
architecture = {{ name = "resnet_s" }}
weights = {{ file = "a.safetensors", sha256 = "{DIGEST}" }}
data = {{ file = "a.npz", sha256 = "{DIGEST}" }}
input = {{ shape = [3, 8, 8] }}
"""


def card(tables: str, head: str = HEAD) -> ModelCard:
    return parse_card(f"{head}\n{tables}")


def test_all_keys_are_read() -> None:
    found = card(
        """
        [preprocessing]
        input = "images"
        dtype = "uint8"
        resize = [320, 240]
        fit = "letterbox"
        align = "corner"
        pad = 0
        colour = "bgr"
        layout = "nhwc"
        scale = 0.5
        mean = [1, 2, 3]
        std = [0.5]
        [answers.boxes]
        boxes = { output = "rows", count = 4 }
        scores = { output = "rows", first = 4 }
        [postprocessing]
        sigmoid = ["rows"]
        most = 50
        score = 0.1
        overlap = 0.7
        """
    )
    assert found.preprocessing.resize == (320, 240) and found.preprocessing.mean == (1, 2, 3)
    assert (found.postprocessing.most, found.postprocessing.score) == (50, 0.1)
    assert not found.preprocessing.is_scale_alone and found.preprocessing.is_picture


def test_a_card_of_old_reads_as_before() -> None:
    assert card("").preprocessing.is_scale_alone
    old = card("[preprocessing]\nscale = 0.25").preprocessing
    assert (old.scale, old.is_scale_alone, old.is_picture) == (0.25, True, False)
    assert card("[preprocessing]\nscale = 0.25", MODULE).preprocessing.scale == 0.25


BOXES = '[answers.boxes]\nboxes = { output = "b" }\nscores = { output = "s" }\n'
REFUSED = {
    "fit alone": ('[preprocessing]\nfit = "crop"', "fit says how a frame gets the size of `resize`: give that, too"),
    "pad without letterbox": ("[preprocessing]\nresize = [8, 8]\npad = 0", 'pad is for fit = "letterbox"'),
    "align without letterbox": (
        '[preprocessing]\nresize = [8, 8]\nfit = "crop"\nalign = "corner"',
        'align is for fit = "letterbox"',
    ),
    "pad of no pixel": ('[preprocessing]\nresize = [8, 8]\nfit = "letterbox"\npad = 300', "a whole number up to 255"),
    "mean without scale": ('[preprocessing]\nlayout = "nchw"\nmean = [1, 2, 3]', "mean and std are of scaled values"),
    "mean of channels of no picture": ("[preprocessing]\nscale = 1\nmean = [1, 2, 3]", "for pictures: give layout"),
    "std of nothing": ('[preprocessing]\nlayout = "nchw"\nscale = 1\nstd = [0]', "must be above 0"),
    "frames of shorts": ('[preprocessing]\ndtype = "int16"\nresize = [8, 8]', "frames are uint8 or float32"),
    "no such colour": ('[preprocessing]\ncolour = "hsv"', "rgb"),
    "no such key": ("[preprocessing]\nresise = [8, 8]", "resize"),
    "one side": ("[preprocessing]\nresize = [8]", "resize"),
    "both": ('[postprocessing]\nsoftmax = ["a"]\nsigmoid = ["a"]', "'a' has softmax and sigmoid"),
    "overlap without boxes": ("[postprocessing]\noverlap = 0.5", "say at `most` how many"),
    "most without boxes": ("[postprocessing]\nmost = 5", "say at answers.boxes which outputs hold them"),
    "classes without top_k": ('[postprocessing]\nclasses = "names"', "give top_k, too"),
    "both pick": (f"{BOXES}[postprocessing]\nmost = 5\ntop_k = 2", "give one of them"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_key_that_would_not_be_obeyed_is_refused_in_one_line(case: str) -> None:
    tables, told = REFUSED[case]
    with pytest.raises(CardError) as caught:
        card(tables)
    assert told in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("tables", ["[preprocessing]\nresize = [8, 8]", '[postprocessing]\nsoftmax = ["logits"]'])
def test_a_built_in_architecture_takes_a_scale_alone(tables: str) -> None:
    with pytest.raises(CardError, match="architecture takes"):
        card(tables, MODULE)
