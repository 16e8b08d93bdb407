"""On call, five more questions, each after a public report of a bad night; see test_on_call.py for the rules.

The reports: sidekiq/sidekiq 5558 and 4692 (Redis is full, and the pages with it), 5300 and 4633 (a job that kills
whoever runs it, again and again), 2800 (a server whose clock is wrong), mhenrixon/sidekiq-unique-jobs 955 (a lock that
nobody finds), and Pusher's report of 2020-07-05 with its many siblings (one customer's flood, or a slow service).
"""

import http.server
import threading
import time

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from redis.exceptions import ResponseError

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect import snapshot
from amazon_pilot.jobs.models import Batch, JobRun, Release
from amazon_pilot.jobs.operate import changes
from tests.jobs import tasks
from tests.jobs.conftest import env, start, wait_for  # noqa: F401 - fixtures
from tests.monitor.conftest import shown_busy

pytestmark = pytest.mark.browser


# 6. Nothing can be enqueued any more: why, and what fills Redis?


@pytest.fixture
def full(redis):
    """Let Redis take no more, as when its memory is full."""
    tasks.add.enqueue_many([(n, "x" * 2000) for n in range(500)])
    before = redis.config_get("maxmemory")["maxmemory"]
    redis.config_set("maxmemory-policy", "noeviction")
    redis.config_set("maxmemory", redis.info("memory")["used_memory"] - 100_000)
    yield redis
    redis.config_set("maxmemory", before)


def test_a_full_redis_says_so_and_what_fills_it(full, walk):
    with pytest.raises(ResponseError, match="OOM"):
        tasks.add.enqueue(1, 2)

    her = walk()

    used = "of the memory that Redis may use is used; when it is full, no job can be enqueued."
    assert used in her.health
    her.click("of the memory", within="#health")
    assert used in her.text
    sizes = her.page.locator("tr", has_text="queue:default").first.inner_text()
    assert "500" in sizes  # the queue that fills it
    her.has_cost(1)
    her.page.goto("/admin/monitor/jobs?q=state:queued+queue:default")
    assert "Act on all that match" in her.text  # and it can be emptied from the pages


# 7. Workers die since the deploy: of what?


def test_a_job_that_kills_whoever_runs_it_is_named_with_its_release(start, walk):  # noqa: F811
    Release.objects.note("v1", at=timezone.now() - timezone.timedelta(days=3))
    Release.objects.note("v2")
    start(WORKER_CONCURRENCY="1")
    job_id = tasks.die.enqueue()
    wait_for(lambda: JobRun.objects.filter(job_id=job_id, is_poison=True).exists(), "the job to be put aside")

    her = walk()

    assert "1 failure is new since v2." in her.health
    her.click("1 failure is new since v2.")
    row = her.page.locator("tbody tr").first
    assert "die" in row.inner_text()
    assert "since v2" in row.inner_text()
    her.page.locator(f"tbody a[href*='{job_id}']").first.click()
    her.clicks += 1
    assert "signal 9" in her.text.lower() or "SIGKILL" in her.text
    assert "poison" in her.text
    assert JobRun.objects.filter(job_id=job_id, outcome="lost").count() == 3
    her.has_cost(2)


# 8. All of us wait: who floods the queue?


def test_a_flood_names_the_batch_and_who_made_it(walk, settings):
    mia = User.objects.create_user("mia")
    flood = Batch.objects.fan_out(tasks.add, [(1, n) for n in range(450)], by=mia)
    mine = tasks.add.enqueue(2, 2)
    settings.QUEUE_LIMITS = {"default": 0.01}
    time.sleep(0.1)

    her = walk()
    her.click("Queue default: the oldest")
    assert f"batch {flood.pk} of add" in her.text
    her.click(f"batch {flood.pk} of add")

    assert "mia" in her.text
    assert "450" in her.text
    assert changes.state(mine) == "queued"
    her.has_cost(2)


# 9. Times make no sense since that server is back: whose clock is wrong?


@pytest.mark.parametrize(("hours", "words"), [(2, "2 h 0 min ahead"), (-2, "2 h 0 min behind")])
def test_a_worker_whose_clock_is_wrong_is_named(start, walk, tmp_path, hours, words):  # noqa: F811
    script = f"import time\nreal = time.time\ntime.time = lambda: real() + {hours * 3600}\n"
    (tmp_path / "sitecustomize.py").write_text(script)
    start(name="well")
    start(name="wrong", PYTHONPATH=str(tmp_path))

    her = walk()

    assert "The clock of wrong is" in her.health
    assert words.split()[-1] in her.health
    assert "well" not in her.health.split("The clock of")[1]
    her.click("The clock of wrong")
    panel = her.page.locator("section.panel", has_text="wrong").first.inner_text()
    told = panel.partition("Its clock against Redis's")[2].split()[0].replace(",", "")
    assert abs(float(told) - hours * 3600) < 10
    her.has_cost(1)


# 10. A service outside is slow: which jobs does it hold up, and where do they stand?


class Slow(http.server.BaseHTTPRequestHandler):
    """A service that takes a question and does not answer until it is told to."""

    answers = threading.Event()

    def do_GET(self):
        self.answers.wait(60)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture
def slow():
    Slow.answers.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    Slow.answers.set()
    server.shutdown()


def test_a_slow_service_that_holds_all_slots_is_named_by_the_jobs_that_wait_for_it(start, walk, slow, settings):  # noqa: F811
    start()
    held = [tasks.ask_outside.enqueue(slow) for _slot in range(3)]
    wait_for(lambda: queues.connection().zcard("rq:wip:default") == 3, "the slots to be held")
    tasks.add.enqueue(1, 2)
    settings.QUEUE_LIMITS = {"default": 0.01}
    wait_for(lambda: shown_busy() == 3, "the worker to show what it runs")

    her = walk()

    assert "All 3 slots are held: 3 by" in her.health
    assert "ask_outside" in her.health
    her.click("Queue default: the oldest")
    link = her.page.locator("[aria-labelledby=slots-title] td a").first
    job_id = link.get_attribute("href").rsplit("/", 1)[1]
    assert job_id in held
    link.click()
    her.clicks += 1
    assert slow in her.text  # which service it asks
    her.has_cost(2)
    her.page.get_by_text("Show its stack").first.click()
    her.page.get_by_role("button", name="Show its stack").click()
    wait_for(lambda: her.page.reload() and "in ask_outside" in her.text, "its stack")


# 11. It says "exists already" and never runs: who holds the key, and how do I free it?


def test_a_unique_key_that_a_job_holds_is_found_and_freed(walk, redis):
    holder = tasks.once_at_a_time.enqueue("report")
    for _ in range(4):
        assert tasks.once_at_a_time.enqueue("report") == holder
    operations_hold(holder)

    her = walk()
    her.click("Limits", within=".monitor-nav")

    row = her.page.locator("tbody tr", has_text="report").first.inner_text()
    assert "once_at_a_time" in row
    assert "4" in row
    assert "held" in row
    her.click("tasks.once_at_a_time" if "tasks." in row else "once_at_a_time")
    assert her.page.url.endswith(holder)
    her.has_cost(2)
    snapshot.current()


def operations_hold(job_id):
    assert changes.one("hold", job_id)
