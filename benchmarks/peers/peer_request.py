"""How a script in a peer's environment is asked, and how it answers; the standard library alone.

The request is the one argument, as JSON; the answer is the last line of the output. Whatever a peer prints goes before.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any


@dataclass(frozen=True)
class PeerRequest:
    """Write `model` in int8 to `target`.

    `samples` is a float32 .npy [N, ...], as the model's input `input_name` takes them. `options` are the peer's own.
    """

    model: str
    samples: str
    target: str
    input_name: str
    options: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> str:
        """The request as its script takes it."""
        return json.dumps(asdict(self))


def answer(quantize: Callable[[PeerRequest], None], package: str) -> None:
    """Do what the command line asks, and say how long the call took and which version did it.

    Args:
        quantize: writes the file; what it imports before is not in the time.
        package: whose version to tell.
    """
    request = PeerRequest(**json.loads(sys.argv[1]))
    began = time.perf_counter()
    quantize(request)
    seconds = round(time.perf_counter() - began, 3)
    print(json.dumps({"seconds": seconds, "version": version(package)}), flush=True)
