"""The figures of a file, whoever made it: taken by the same code, in a worker process."""

import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def figures(files: dict[str, str], cache_dir: str, path: str) -> dict[str, Any]:
    """What an ONNX file is on val, on test and on the wire: {"ok": True, "metrics"} or {"ok": False, "error"}.

    Args:
        files: of the source model, by their names in its folder.
        cache_dir: what may be used as a cache.
        path: the file.
    """
    try:
        from edgefleet_compression.builds.worker_main import one_thread
        from edgefleet_compression.cache import Cache
        from edgefleet_compression.measuring.measure import measured
        from edgefleet_compression.models.source import open_source

        one_thread()
        source = open_source({name: Path(at) for name, at in files.items()}, Cache(Path(cache_dir)))
        return {"ok": True, "metrics": measured(Path(path), source, {}, None, None).model_dump(mode="json")}
    except Exception as error:  # a peer's file can be anything
        return {"ok": False, "error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}


def plain_bytes(path: Path) -> int:
    """The bytes of a file as `zstd -19` compresses it."""
    return len(zstd.compress(path.read_bytes(), level=19))
