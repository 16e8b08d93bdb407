"""The monitor's pages: who sees them, and where their links lead."""

import re

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.timezone import now

from amazon_pilot.jobs.models import AuditEntry, JobRun, Pause
from amazon_pilot.jobs.web import failures, overview, pages

pytestmark = pytest.mark.django_db
BROKEN = "could not be loaded; the web server"


@pytest.fixture
def run():
    times = {"started_at": now(), "ended_at": now()}
    return JobRun.objects.create(
        job_id="j1",
        execution_id="e1",
        task="t",
        queue="low",
        outcome="failed",
        message="Boom",
        fingerprint="f",
        **times,
    )


def staff(client, *groups):
    user = User.objects.create_user("staff", password="x", is_staff=True)
    user.groups.set(Group.objects.filter(name__in=groups))
    client.force_login(user)
    return client


def test_the_front_page_shows_queues_failures_and_the_next_fires(admin_client, run):
    text = admin_client.get("/admin/").content.decode()

    for word in ("critical", "Running now", "Failed lately", "Boom", "Next fires", "Workers"):
        assert word in text


def test_a_job_leads_to_its_runs(admin_client, run):
    answer = admin_client.get(reverse("monitor:job", args=["j1"]), follow=True)

    assert answer.context["job"].runs == [run]


def test_every_page_of_the_monitor_says_that_the_sandbox_plays(admin_client):
    for page in ("/admin/", reverse("admin:jobs_jobrun_changelist"), reverse("admin:jobs_scheduleentry_changelist")):
        assert "Sandbox: Apify, OpenAI are played on this machine" in admin_client.get(page).content.decode()


def test_a_hundred_runs_are_listed_in_few_queries(admin_client, django_assert_max_num_queries):
    rows = [JobRun(job_id=f"j{n}", execution_id="e", task="a.b", queue="low", started_at=now()) for n in range(100)]
    JobRun.objects.bulk_create(rows)

    with django_assert_max_num_queries(26):
        admin_client.get(reverse("admin:jobs_jobrun_changelist"))


def test_the_rows_of_the_history_have_no_button_that_would_act_on_a_whole_filter(admin_client, run, redis):
    """Bulk actions have a preview, a reason and a number to type: monitor/bulk.py."""
    address = reverse("admin:jobs_jobrun_changelist")
    redis.hset("rq:job:j1", mapping={"status": "failed", "origin": "low"})
    redis.zadd("rq:failed:low", {"j1": 2_000_000_000})

    for action in ("retry", "cancel", "delete_selected"):
        admin_client.post(address, {"action": action, "_selected_action": [run.pk], "select_across": 1}, follow=True)

    assert redis.zscore("rq:failed:low", "j1")
    assert JobRun.objects.exists()
    assert not AuditEntry.objects.exists()
    assert 'name="action"' not in admin_client.get(address).content.decode()


@pytest.mark.parametrize("path", ["jobs", "django_rq", "auth", "products", "jobs/jobrun", "jobs/pause", "jobs/fire"])
def test_every_index_of_the_admin_and_each_list_of_the_engine_has_the_monitors_menu(admin_client, path):
    text = admin_client.get(f"/admin/{path}/").content.decode()

    assert f'href="{reverse("monitor:queues")}"' in text


@pytest.mark.parametrize("name", ["overview", "jobs"])
def test_staff_without_a_role_see_nothing(client, name):
    assert staff(client).get(reverse(f"monitor:{name}")).status_code == 403


def test_django_rqs_pages_obey_the_roles(client):
    page = staff(client, "Monitor: view")
    home = reverse("admin:django_rq_dashboard_changelist")

    assert page.get(home).status_code == 200
    assert page.post(f"{home}queues/0/empty/").status_code in (403, 404)
    User.objects.get().groups.clear()
    assert page.get(home).status_code == 403


def test_a_queue_is_paused_with_a_reason_and_resumed(admin_client, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post(reverse("admin:jobs_pause_add"), {"name": "queue:low", "reason": "A test"})
    assert Pause.objects.active().get().by.username == "admin"

    chosen = {"action": "resume", "_selected_action": [Pause.objects.get().pk]}
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post(reverse("admin:jobs_pause_changelist"), chosen)
    assert not Pause.objects.active().exists()


def test_a_pause_of_no_known_kind_is_refused(admin_client):
    answer = admin_client.post(reverse("admin:jobs_pause_add"), {"name": "low", "reason": "A test"})

    assert "Write queue:low" in answer.content.decode()


def test_the_filters_of_the_runs_ask_the_code_and_not_the_history(admin_client, run):
    address = reverse("admin:jobs_jobrun_changelist")

    assert len(admin_client.get(address, {"queue": "low"}).context["cl"].result_list) == 1
    assert len(admin_client.get(address, {"queue": "critical"}).context["cl"].result_list) == 0
    with CaptureQueriesContext(connection) as queries:
        text = admin_client.get(address).content.decode()
    assert "?queue=critical" in text
    assert "?task=products.tasks.update_product" in text
    assert not [query for query in queries if "DISTINCT" in query["sql"]]


def test_a_line_of_the_audit_says_when(admin_client):
    line = AuditEntry.objects.record(None, "pause", "queue:low", reason="A test", count=1)

    answer = admin_client.get(reverse("admin:jobs_auditentry_change", args=[line.pk]))

    assert "field-at" in answer.content.decode()


def test_the_page_of_a_pause_says_who_began_and_who_ended_it(admin_client, django_user_model):
    mia = django_user_model.objects.create_user("mia")
    pause = Pause.objects.begin("queue:low", by=mia, reason="A test")
    Pause.objects.end("queue:low", by=django_user_model.objects.create_user("noah"))

    text = admin_client.get(reverse("admin:jobs_pause_change", args=[pause.pk])).content.decode()

    for word in ("mia", "noah", "Since", "Ended at", "A test"):
        assert word in text
    assert "mia" not in admin_client.get(reverse("admin:jobs_pause_add")).content.decode()


def test_the_filters_of_the_audit_have_titles_that_read_well(admin_client):
    AuditEntry.objects.record(User.objects.get(), "hold", "job:1")

    text = admin_client.get(reverse("admin:jobs_auditentry_changelist")).content.decode()

    titles = re.findall(r"<summary>\s*By (.*?)\s*</summary>", text)
    assert titles == ["action", "source", "time", "person"]


def test_the_audit_names_actions_in_the_readers_language_and_filters_by_them(admin_client):
    AuditEntry.objects.record(None, "pause", "queue:low")
    AuditEntry.objects.record(None, "retry", "job:1")

    page = admin_client.get(
        "/admin/jobs/auditentry/?action=pause", headers={"accept-language": "zh-hans"}
    ).content.decode()

    assert "queue:low" in page
    assert "job:1" not in page
    assert '<td class="field-verb">暂停</td>' in page
    assert '?action=retry">重试</a>' in page


@pytest.mark.parametrize("name", ["overview", "queues", "workers", "redis", "failures", "alerts", "limits", "batches"])
def test_a_part_that_breaks_is_told_and_leaves_the_others_standing(admin_client, run, monkeypatch, name):
    """Each part in turn: whatever it raises, the page comes and says in its line of health that it is not whole."""
    whole, parts = pages.widget, []

    def breaking(build):
        parts.append(build)
        return whole(build if len(parts) != broken else lambda: 1 / 0)

    for module in (pages, overview, failures):
        monkeypatch.setattr(module, "widget", breaking)
    address, broken = reverse(f"monitor:{name}"), 0
    sound = admin_client.get(address).content.decode()
    number = len(parts)

    assert number > 0
    assert BROKEN not in sound
    for broken in range(1, number + 1):
        parts.clear()
        answer = admin_client.get(address)
        assert answer.status_code == 200
        assert BROKEN in answer.content.decode(), broken
