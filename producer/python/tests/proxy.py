"""A way to a server that fails on command."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from processes import free_port


class Proxy:
    """A way to a server that can be cut, or hang: then connections stay, also new ones, and nothing comes through."""

    def __init__(self, target: int, *, open_: bool = True) -> None:
        self._target = ("127.0.0.1", target)
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._goes = threading.Event()
        self._goes.set()
        self._answers = threading.Event()  # come through, while the others do
        self._answers.set()
        self._ends = threading.Event()
        self._listener: socket.socket | None = None
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        if open_:
            self.open()

    def open(self) -> None:
        """Takes connections."""
        self._ends.clear()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._start(self._accept, self._listener)

    def cut(self) -> None:
        """Ends all connections, with what waits on them, and refuses new ones."""
        self._ends.set()
        self.resume()
        listener, self._listener = self._listener, None
        for sock in [*self._sockets, *([listener] if listener else [])]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for sock in [*self._sockets, *([listener] if listener else [])]:
            sock.close()
        self._sockets.clear()
        self._threads.clear()

    def mute(self) -> None:
        """Lets no answers of the server through any more; what is said to it arrives."""
        self._answers.clear()

    def hang(self) -> None:
        """Lets nothing through any more."""
        self._goes.clear()

    def resume(self) -> None:
        """Lets through what waited, and what comes."""
        self._goes.set()
        self._answers.set()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            self._sockets += [client, server]
            self._start(self._copy, client, server, self._goes)
            self._start(self._copy, server, client, self._answers)

    def _copy(self, source: socket.socket, target: socket.socket, may: threading.Event) -> None:
        with suppress(OSError, ValueError):  # it was cut
            while True:
                select.select([source], [], [])
                self._goes.wait()
                may.wait()
                data = source.recv(1 << 16)
                if not data or self._ends.is_set():
                    break
                target.sendall(data)
        for sock in (source, target):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
