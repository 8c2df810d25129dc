"""One plain TCP stream over a link: what a transfer is compared with."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from benchmarks.links.namespaces import CLOUD, DeviceLink

_READ = """
import socket, sys, time
began = time.monotonic()
left = int(sys.argv[3])
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as stream:
    while left and (data := stream.recv(65536)):
        left -= len(data)
if left:
    sys.exit(f"{left} bytes did not come")
print(time.monotonic() - began)
"""


@contextmanager
def serving(size_bytes: int) -> Iterator[int]:
    """A server in the cloud that sends so many bytes to whoever connects; its port."""
    with socket.create_server((CLOUD, 0)) as listener:
        threading.Thread(target=_serve, args=(listener, bytes(size_bytes)), daemon=True).start()
        yield int(listener.getsockname()[1])


def _serve(listener: socket.socket, data: bytes) -> None:
    with suppress(OSError):
        while True:
            stream, _ = listener.accept()
            with stream, suppress(OSError):
                stream.sendall(data)


def seconds_of(link: DeviceLink, port: int, size_bytes: int, within_s: float) -> float:
    """How long the bytes take to the far end, the connection's start included.

    Raises:
        RuntimeError, TimeoutExpired: they do not come, or not in time.
    """
    command = [*link.prefix, sys.executable, "-c", _READ, CLOUD, str(port), str(size_bytes)]
    done = subprocess.run(command, capture_output=True, timeout=within_s, check=False)
    if done.returncode:
        raise RuntimeError(f"the plain stream: {done.stderr.decode(errors='replace').strip()}")
    return float(done.stdout)
