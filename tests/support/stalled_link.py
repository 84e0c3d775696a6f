"""A TCP link on loopback that carries some bytes each way and then no more, as a client that stops in the middle."""

import contextlib
import socket
import threading
from collections.abc import Iterator

_MANY = 1 << 62


@contextlib.contextmanager
def stalled_link(target: str, to_server: int = _MANY, to_client: int = _MANY) -> Iterator[str]:
    """Where to connect instead of `target` (host:port); each connection carries that many bytes each way."""
    host, port = target.split(":")
    sockets: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                server = socket.create_connection((host, int(port)))
                sockets.extend([client, server])
                for source, sink, left in ((client, server, to_server), (server, client, to_client)):
                    threading.Thread(target=_carry, args=(source, sink, left), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for opened in sockets:
                opened.close()


def _carry(source: socket.socket, sink: socket.socket, left: int) -> None:
    with contextlib.suppress(OSError):
        while left:
            data = source.recv(min(left, 1 << 20))
            if not data:
                # The end is carried too: so a client sees that the server has closed its connection.
                sink.shutdown(socket.SHUT_WR)
                return
            sink.sendall(data)
            left -= len(data)
