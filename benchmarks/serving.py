"""What delivery is compared with and measured by: an HTTP server of files, and a relay that counts bytes."""

import socket
import threading
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

READ_BYTES = 256 * 1024


def serve_files(folder: Path, port: int) -> None:
    """The process: uvicorn with the files of a folder."""
    app = Starlette(routes=[Mount("/", StaticFiles(directory=folder))])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def relay(port: int, to_port: int, upward: Any) -> None:
    """The process: passes connections on to `to_port`, and counts the bytes that go there in `upward`."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", to_port))
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_pump, args=(near, far, upward), daemon=True).start()
            threading.Thread(target=_pump, args=(far, near, None), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, counter: Any) -> None:
    try:
        while data := source.recv(READ_BYTES):
            if counter is not None:
                counter.value += len(data)
            sink.sendall(data)
    except OSError:
        pass
    finally:
        for end in (source, sink):
            end.close()
