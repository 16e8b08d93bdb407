"""A proxy before the tests' Redis that cuts connections: the command was carried out, and its answer is lost."""

import socket
import threading
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry


class CuttingProxy:
    """Listen on the loopback and hand everything on; after each of the next `cuts` scripts cut the client off."""

    def __init__(self, upstream: Path, *, cuts: int) -> None:
        self.upstream, self.cuts, self.is_script = upstream, cuts, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def client(self) -> Redis:
        """Return a client that sends a command again when its connection breaks, as redis-py does by itself."""
        port = self.listener.getsockname()[1]
        return Redis(host="127.0.0.1", port=port, retry=Retry(NoBackoff(), 5), retry_on_error=[ConnectionError])

    def close(self) -> None:
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as redis:
            redis.connect(str(self.upstream))
            threading.Thread(target=self._hand_on, args=(client, redis), daemon=True).start()
            self._answer(client, redis)

    def _hand_on(self, client: socket.socket, redis: socket.socket) -> None:
        try:
            while words := client.recv(1 << 16):
                self.is_script = b"EVALSHA" in words or self.is_script
                redis.sendall(words)
        except OSError:
            pass

    def _answer(self, client: socket.socket, redis: socket.socket) -> None:
        while answer := redis.recv(1 << 20):
            was_script, self.is_script = self.is_script, False
            # An error such as NOSCRIPT says that nothing was carried out, so there is nothing to lose.
            if was_script and self.cuts and not answer.startswith(b"-"):
                self.cuts -= 1
                client.shutdown(socket.SHUT_RDWR)
                return
            client.sendall(answer)
