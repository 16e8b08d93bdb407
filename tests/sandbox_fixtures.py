"""The sandbox on a real port: what the gateways speak to in the tests, over HTTP, through the unmodified packages."""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application

from amazon_pilot.sandbox import store
from amazon_pilot.sandbox.control import ApifyControl, OpenAIControl


@dataclass
class Sandbox:
    """The two played services, their address, and the requests that reached them."""

    url: str
    requests: list[tuple[str, str]] = field(default_factory=list)
    apify: ApifyControl = field(default_factory=ApifyControl)
    openai: OpenAIControl = field(default_factory=OpenAIControl)

    def count(self, method: str, ending: str = "") -> int:
        """How many requests of this method went to a path that ends so."""
        return sum(verb == method and path.endswith(ending) for verb, path in self.requests)


class QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass

    def get_environ(self) -> dict[str, Any]:
        return super().get_environ() | {"test.connection": self.connection}


def hang_up_when_cut(body: Any, connection: socket.socket) -> Iterator[bytes]:
    """End the connection when the sandbox cuts an answer short: this server would keep it, unlike a real one."""
    try:
        yield from body
    except ConnectionResetError:
        connection.shutdown(socket.SHUT_RDWR)
        raise
    finally:
        body.close()


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[Sandbox]:
    """The Django application on a free port of loopback; each request in a thread of its own."""
    server = ThreadedWSGIServer(("127.0.0.1", 0), QuietHandler, ipv6=False)
    server.daemon_threads = True
    sandbox = Sandbox(f"http://127.0.0.1:{server.server_port}")
    application = get_wsgi_application()

    def recording(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        sandbox.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        return hang_up_when_cut(application(environ, start_response), environ["test.connection"])

    server.set_app(recording)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield sandbox
    server.shutdown()
    server.server_close()


@pytest.fixture
def sandbox(sandbox_server: Sandbox, settings: Any, tmp_path: Path) -> Sandbox:
    """A sandbox with nothing in it, fast, to which the settings point for the length of a test."""
    settings.VAR_DIR = tmp_path
    settings.APIFY_API_URL = f"{sandbox_server.url}/sandbox/apify"
    settings.SANDBOX_PICTURES_URL = f"{sandbox_server.url}/sandbox/pictures"
    settings.OPENAI_BASE_URL = f"{sandbox_server.url}/sandbox/openai/v1"
    store.set_options(run_seconds=0.05, least_answer_seconds=0.0, most_answer_seconds=0.0)
    sandbox_server.requests.clear()
    return sandbox_server
