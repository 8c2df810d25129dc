"""The figures of a file, whoever made it: taken by the same code, in a worker process."""

import sys
from dataclasses import dataclass
from pathlib import Path

from edgefleet_compression.builds.messages import ModelFiles, WorkRefused
from edgefleet_contract.metrics import Metrics

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


MOST_CHARACTERS = 300
"""Of what a peer's file is refused with."""


@dataclass(frozen=True)
class FiguresRequest:
    """The figures of an ONNX file are asked for; `files` are those of its source model, `cache_dir` may be used."""

    files: ModelFiles
    cache_dir: Path
    path: Path


def figures(request: FiguresRequest) -> Metrics | WorkRefused:
    """What an ONNX file is on val, on test and on the wire."""
    try:
        from edgefleet_compression.builds.worker_main import one_thread
        from edgefleet_compression.cache import Cache
        from edgefleet_compression.measuring.measure import measured
        from edgefleet_compression.models.source_files import open_source

        one_thread()
        source = open_source(request.files, Cache(request.cache_dir))
        return measured(request.path, source, {}, None, None).metrics
    except Exception as error:  # a peer's file can be anything
        sentence = " ".join(f"{type(error).__name__}: {error}".split())
        return WorkRefused("not_measured", sentence[:MOST_CHARACTERS])


def plain_bytes(path: Path) -> int:
    """The bytes of a file as `zstd -19` compresses it."""
    return len(zstd.compress(path.read_bytes(), level=19))
