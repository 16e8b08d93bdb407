"""Who looks at the monitor and presses its buttons, and what they look at."""

import json
import time

import pytest
from django.contrib.auth.models import Permission, User
from redis import Redis
from redis.connection import HiredisRespSerializer, PythonRespSerializer

from amazon_pilot.jobs.inspect import store

# As the migration add_roles gives them, but for what no test of ours needs.
VIEW = ["view_jobrun", "view_scheduleentry", "view_fire"]
OPERATE = [*VIEW, "operate_jobs", "operate_schedule"]
EDIT = [*OPERATE, "edit_jobs", "add_scheduleentry", "change_scheduleentry"]
ROLES = {
    "view": VIEW,
    "operate": OPERATE,
    "edit": EDIT,
    "admin": [*EDIT, "administer_jobs", "delete_scheduleentry"],
}


@pytest.fixture
def person(client):
    """Sign somebody in who has a role."""

    def sign_in(role):
        user = User.objects.create_user(f"{role}-er", password="x", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=ROLES[role], content_type__app_label="jobs"))
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def redis_away(monkeypatch):
    """Point the pages at a socket on which nobody listens."""
    away = Redis(unix_socket_path="/nowhere/redis.sock")
    monkeypatch.setattr(store, "connect", lambda: away)


@pytest.fixture
def commands(monkeypatch):
    """Collect the commands that this process sends to Redis, each by its name."""
    sent = []

    def listen_to(packer):
        pack = packer.pack
        monkeypatch.setattr(packer, "pack", lambda self, *words: sent.append(words[0]) or pack(self, *words))

    for packer in (HiredisRespSerializer, PythonRespSerializer):
        listen_to(packer)
    return sent


def serve(busy=0, state="working"):
    """Show a living worker with two slots, as a real one does each second."""
    slots = [{"slot": n, "pid": 1, "jobs": 0} for n in (1, 2)]
    for slot in slots[:busy]:
        slot |= {"job": "x", "execution": "pilot-x", "task": "t", "queue": "default", "since": time.time()}
    picture = {
        "worker": "w1", "state": state, "pid": 1, "host": "h", "born": time.time(), "seen": time.time(),
        "queues": {"default": 3}, "takes": {"default": 1}, "ended": {"succeeded": 1, "failed": 0, "lost": 0},
        "slots": slots,
    }  # fmt: skip
    store.connect().set("pilot:worker:w1", json.dumps(picture))
    store.connect().zadd("pilot:workers", {"w1": time.time()})
