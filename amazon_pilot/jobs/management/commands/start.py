"""Run the whole product in one terminal."""

import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import threading
from argparse import ArgumentParser
from datetime import datetime

import honcho.manager
import honcho.process
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from honcho.printer import Message, Printer

from amazon_pilot import embedded
from amazon_pilot.embedded import end_with_parent

# Everything is given this long to finish or give back its jobs, before everything is killed.
KILL_WAIT_SECONDS = 8


def killed_with_parent() -> None:
    """Have this process killed when its parent is: with Redis gone as well it could not give its jobs back anyway.

    Nothing is lost: slots end with their worker, and leases bring their jobs back.
    """
    end_with_parent(signal.SIGKILL)


class Process(honcho.process.Process):
    """A process that ends with us, even when we are killed with -9, and so does honcho's helper between the two."""

    def run(self, events: object = None, ignore_signals: bool = False) -> None:
        """Start the command; called in honcho's helper process, which ignores every signal that can be ignored."""
        end_with_parent(signal.SIGKILL)
        self._child_ctor = lambda *args, **options: honcho.process.Popen(
            *args, preexec_fn=killed_with_parent, **options
        )
        super().run(events, ignore_signals)


class Command(BaseCommand):
    help = "Migrate, make the first user and demo data, then run web, worker, scheduler and the bundled Redis."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=settings.PORT, help="The port of the web server.")
        parser.add_argument("--no-demo", action="store_true", help="Start empty, also when the sandbox serves.")

    def handle(self, *args: object, port: int, no_demo: bool, **options: object) -> None:
        if port != settings.PORT:  # settings derive addresses from the port, so they are read again with it
            words = [sys.executable, "-m", "amazon_pilot", "start", *(["--no-demo"] if no_demo else [])]
            os.execvpe(sys.executable, words, os.environ | {"PORT": str(port)})  # noqa: S606
        ensure_free(port)
        redis = self.start_redis() if settings.REDIS_IS_EMBEDDED else None  # it says soonest if something is wrong
        call_command("migrate", verbosity=0)
        password = self.first_user()
        if settings.SANDBOX_SERVES and not no_demo:
            call_command("seed_demo")
        self.stdout.write(f"\n  Amazon Pilot: {settings.SITE_URL}/\n")
        if password:
            self.stdout.write(f"  Sign in as admin with the password {password} (shown this once)\n")
        self.stdout.write("  Ctrl+C stops everything.\n\n")
        self.stdout.flush()
        sys.exit(run(port, redis))

    def start_redis(self) -> "subprocess.Popen[bytes]":
        """Start the bundled server first and on our own, since it must also be the last to leave."""
        try:
            return embedded.start(subprocess.PIPE)
        except RuntimeError as error:
            raise CommandError(str(error)) from None

    def first_user(self) -> str:
        """Make the first user unless there is one; answer the password when it was made up here."""
        users = get_user_model()._default_manager
        if users.exists():
            return ""
        given = os.environ.get("ADMIN_PASSWORD", "")
        password = given or secrets.token_urlsafe(9)
        get_user_model().objects.create_superuser("admin", "admin@localhost", password)
        return "" if given else password


def ensure_free(port: int) -> None:
    """Raise CommandError when somebody else listens on the port."""
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(("127.0.0.1", port))
        except OSError as error:
            raise CommandError(
                f"Port {port} cannot be used ({error.strerror}). Choose another one: make run PORT={port + 1}"
            ) from None


def commands(port: int) -> dict[str, str]:
    """Return the command line of each process, by the name that prefixes its log."""
    python = shlex.quote(sys.executable)
    return {
        "web": f"{python} -m gunicorn amazon_pilot.wsgi --bind 127.0.0.1:{port} --threads 16 --log-level warning",
        "worker": f"{python} -m amazon_pilot rqworker",
        "scheduler": f"{python} -m amazon_pilot rqscheduler",
    }


def run(port: int, redis: "subprocess.Popen[bytes] | None") -> int:
    """Run all processes until one ends or a signal comes; answer the exit code, which is 0 in neither case."""
    honcho.manager.KILL_WAIT = KILL_WAIT_SECONDS
    manager = honcho.manager.Manager(Printer(sys.stdout))
    manager._process_ctor = Process
    # A worker that waits longer for its jobs than we wait for it would be killed before it gave them back.
    env = {"WORKER_GRACE_SECONDS": "5"} | os.environ | {"PYTHONUNBUFFERED": "1"}
    for name, line in commands(port).items():
        manager.add_process(name, f"exec {line}", cwd=str(settings.HOME_DIR), env=env)
    if redis:
        threading.Thread(target=watch, args=(redis, manager), daemon=True).start()
    manager.loop()
    if redis:
        redis.terminate()
        redis.wait(10)
    return int(manager.returncode or 1)


def watch(redis: "subprocess.Popen[bytes]", manager: honcho.manager.Manager) -> None:
    """Put the bundled server's lines into the common log, and stop the others when it ends."""
    for line in redis.stdout or ():
        manager.events.put(Message("line", line, datetime.now(), "redis", None))
    manager.terminate()
