"""A model's server of the tests' own: it answers what it was told to, and keeps what it was asked."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

USAGE = {"prompt_tokens": 1000, "completion_tokens": 100}


@dataclass
class ModelServer:
    """Answers in their order; the last is given again for ever."""

    url: str = ""
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)

    def answer(self, body: Any, status: int = 200, **headers: Any) -> None:
        """Have the next request answered with JSON, or with bytes as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append((status, {name.replace("_", "-"): str(value) for name, value in headers.items()}, content))

    def say(self, content: Any, finish: str = "stop", usage: Any = USAGE, **more: Any) -> None:
        """Have the model write a text, or an object as JSON."""
        text = content if isinstance(content, str | None) else json.dumps(content)
        choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
        self.answer({"id": "c", "model": "m", "choices": [choice], "usage": usage} | more)

    def next_answer(self) -> tuple[int, dict[str, str], bytes]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def model(settings: Any) -> Iterator[ModelServer]:
    """A server on loopback to which the settings point; the product's own client speaks to it."""
    kept = ModelServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            kept.asked.append((self.path, dict(self.headers), body))
            status, headers, content = kept.next_answer()
            self.send_response(status)
            for name, value in ({"Content-Type": "application/json"} | headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    kept.url = settings.OPENAI_BASE_URL = f"http://127.0.0.1:{server.server_port}/v1"
    yield kept
    server.shutdown()
    server.server_close()
