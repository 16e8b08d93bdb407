"""REDIS_URL in all its forms, against real servers on loopback: TLS, a Unix socket, sentinels and their failover."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from amazon_pilot.redis_address import connect, parse

SERVER = shutil.which("redis-server")
pytestmark = pytest.mark.skipif(SERVER is None and os.environ.get("CI") != "true", reason="apt-get install redis")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def server(*words: object) -> Iterator[subprocess.Popen[bytes]]:
    """The system's redis-server with these words on its command line."""
    process = subprocess.Popen([str(SERVER), *map(str, words)], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(happened: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait until something is true, taking an error for "not yet"."""
    end = time.monotonic() + seconds
    while True:
        try:
            if answer := happened():
                return answer
        except RedisError:
            pass
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a self-made certificate for localhost, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run(
        ["openssl", *words.split(), "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def tls(certificate: Path) -> Iterator[str]:
    """A server that speaks TLS only and wants a password; its address without options."""
    port, key, cert = free_port(), certificate / "key.pem", certificate / "cert.pem"
    words = ["--port", 0, "--tls-port", port, "--tls-key-file", key, "--tls-cert-file", cert, "--save", ""]
    more = ["--tls-auth-clients", "no", "--requirepass", "p#w", "--dir", certificate]
    with server(*words, *more):
        url = f"rediss://:p%23w@localhost:{port}"
        until(lambda: connect(parse(f"{url}?ssl_ca_certs={cert}", 0)).ping())
        yield url


@pytest.mark.later
def test_tls_is_checked_against_the_named_certificate_in_the_named_database(tls, certificate):
    client = connect(parse(f"{tls}/2?ssl_ca_certs={certificate}/cert.pem&ssl_cert_reqs=required", 0))

    assert client.ping()
    assert client.client_info()["db"] == 2


@pytest.mark.later
def test_tls_without_checking_is_taken_where_it_is_asked_for(tls):
    assert connect(parse(f"{tls}?ssl_cert_reqs=none", 0)).ping()
    with pytest.raises(RedisConnectionError, match=r"(?i)certificate"):
        connect(parse(tls, 0)).ping()


@pytest.mark.later
def test_the_name_of_a_host_is_checked_unless_it_should_not_be(tls, certificate):
    url = f"{tls.replace('localhost', '127.0.0.1')}?ssl_ca_certs={certificate}/cert.pem"

    with pytest.raises(RedisConnectionError, match=r"(?i)mismatch"):
        connect(parse(url, 0)).ping()
    assert connect(parse(f"{url}&ssl_check_hostname=false", 0)).ping()


def test_a_socket_with_a_user_and_a_database(tmp_path):
    path = tmp_path / "s.sock"
    words = ["--port", 0, "--unixsocket", path, "--save", "", "--dir", tmp_path]
    with server(*words, "--user", *["pilot", "on", ">pw", "~*", "&*", "+@all"]):
        client = connect(parse(f"unix://pilot:pw@{path}?db=3&socket_timeout=2", 0))

        assert until(client.ping)
        assert client.client_info()["db"] == 3
        assert client.acl_whoami() == "pilot"


PROCESS = """
import os, django; django.setup()
import django_rq
from django_rq.connection_utils import get_connection_by_index
from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect import store
from amazon_pilot.jobs.schedule import store as schedule_store
from amazon_pilot.jobs.worker import connection
for client in (queues.connection(), store.connect(), schedule_store.connect(), get_connection_by_index(0),
               django_rq.get_queue("low").connection):
    print(client.client_info()["db"], client.ping())
line = connection.open_connection()
line.send_command("CLIENT", "INFO")
print(line.read_response().decode().split(" db=")[1].split()[0], "line")
"""


def process(url: str, tmp_path: Path, code: str = PROCESS) -> str:
    env = os.environ | {"REDIS_URL": url, "VAR_DIR": str(tmp_path / "var")}
    env |= {"DJANGO_SETTINGS_MODULE": "amazon_pilot.settings", "REDIS_PATIENCE_SECONDS": "2"}
    answer = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=90)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.slow
def test_whatever_connects_does_so_by_tls_and_in_the_named_database(tls, certificate, tmp_path):
    said = process(f"{tls}?db=2&ssl_ca_certs={certificate}/cert.pem", tmp_path)

    assert said.splitlines() == ["2 True"] * 5 + ["2 line"]


@contextmanager
def watched(folder: Path, sentinels: int = 3) -> Iterator[tuple[str, list[int]]]:
    """A primary, a replica and sentinels that watch them as "jobs"; yields the address and the two ports."""
    ports = [free_port(), free_port()]
    with ExitStack() as stack:
        common = ["--requirepass", "pw", "--masterauth", "pw", "--save", "", "--bind", "127.0.0.1"]
        for port, more in zip(ports, ([], ["--replicaof", f"127.0.0.1 {ports[0]}"]), strict=True):
            (folder / str(port)).mkdir()
            words = ["--port", port, "--dir", folder / str(port), *common, *more]
            process = stack.enter_context(server(*words))
            if not more:
                stack.callback(process.kill)
        doors = [free_port() for _ in range(sentinels)]
        for door in doors:
            (folder / f"{door}.conf").write_text(
                f"port {door}\nbind 127.0.0.1\ndir {folder}\nrequirepass spw\nsentinel sentinel-pass spw\n"
                f"sentinel monitor jobs 127.0.0.1 {ports[0]} 2\nsentinel auth-pass jobs pw\n"
                "sentinel down-after-milliseconds jobs 1000\nsentinel failover-timeout jobs 5000\n"
            )
            stack.enter_context(server(folder / f"{door}.conf", "--sentinel"))
        for door in doors:  # each knows the others and the replica
            client = Redis(port=door, password="spw")
            until(partial(knows, client, "num-other-sentinels", sentinels - 1), 40)
            until(partial(knows, client, "num-slaves", 1), 40)
        named = ",".join(f"127.0.0.1:{door}" for door in doors)
        yield f"redis+sentinel://:pw@{named}/jobs/1?sentinel_password=spw", ports


def knows(client: Redis, what: str, number: int) -> bool:
    """Whether a sentinel has found so many others or replicas."""
    found: Any = client.sentinel_master("jobs")
    return bool(found[what] == number)


FAILOVER = """
import os, time, django; django.setup()
from redis import Redis
from redis.exceptions import RedisError
from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.worker import connection
ports = [int(port) for port in os.environ["PORTS"].split(",")]
def role(client): return client.role()[0].decode()
queues.connection().set("kept", "1"); queues.connection().wait(1, 2000)
before = queues.connection().info("server")["tcp_port"]
try:
    Redis(port=before, password="pw").shutdown(nosave=True)
except RedisError: pass
begun = time.monotonic()
while time.monotonic() < begun + 40:
    try:
        line = connection.open_connection()
        line.send_command("SET", "again", "1"); line.read_response()
        break
    except (RedisError, OSError): time.sleep(0.2)
after = queues.connection().info("server")["tcp_port"]
print(queues.connection().get("kept").decode(), sorted([before, after]) == sorted(ports), line.db)
"""


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_after_a_failover_the_worker_and_all_others_speak_to_the_new_primary(tmp_path, monkeypatch):
    with watched(tmp_path) as (url, ports):
        monkeypatch.setenv("PORTS", ",".join(map(str, ports)))
        said = process(url, tmp_path, FAILOVER)

        assert said.split() == ["1", "True", "1"]
        assert process(url, tmp_path).splitlines() == ["1 True"] * 5 + ["1 line"]
