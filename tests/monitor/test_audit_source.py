"""The audit says from where each act came, and of lines older than that that it is not known."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.models import AuditEntry, ScheduleEntry, Source, acting_from
from amazon_pilot.jobs.schedule import entries
from tests.jobs import tasks
from tests.jobs.schedule_world import make_entry

pytestmark = pytest.mark.django_db(transaction=True)
LIST = reverse("admin:jobs_auditentry_changelist")


def sources():
    return list(AuditEntry.objects.order_by("pk").values_list("action", "source"))


def test_one_act_from_each_door(person):
    client = person("operate")
    job_id = tasks.add.enqueue(1, 2)

    client.post(reverse("monitor:job-hold", args=[job_id]), {"reason": "A test"})
    client.post(reverse("monitor:api-job-release", args=[job_id]), "{}", "application/json")
    call_command("jobs", "pause", "queue:low", "--reason", "A test")
    AuditEntry.objects.record(None, "recover", "jobs")

    assert sources() == [("hold", "page"), ("release", "api"), ("pause", "command"), ("recover", "system")]


def test_a_page_of_the_product_and_one_of_the_admin_are_pages(admin_client, redis):
    entry = make_entry()
    words = {"action": "run_now", "_selected_action": [entry.pk]}
    admin_client.post(reverse("admin:jobs_scheduleentry_changelist"), words)
    assert sources() == [("run now", "page")]


def test_what_the_machine_does_on_the_way_of_a_persons_act_is_its_own(admin_client, redis):
    over = timezone.now() - timedelta(minutes=1)
    make_entry("old", paused_at=over, paused_until=over, next_at=over)

    call_command("jobs", "schedule", "create", "tea", "--cron", "@daily", "--task", tasks.add.name, "--args", "[1, 2]")

    assert sources() == [("create", "command"), ("resume", "system")]
    assert ScheduleEntry.objects.filter(paused_at=None).count() == 2


def test_a_source_ends_with_its_door_also_when_that_breaks():
    with pytest.raises(ZeroDivisionError), acting_from(Source.API):
        _ = 1 / 0
    entries.pause(make_entry(), None, "A test")
    assert sources() == [("pause", "system")]


def test_the_list_shows_the_source_and_filters_by_it(admin_client):
    olga = User.objects.create_user("olga")
    for source in Source:
        with acting_from(source):
            AuditEntry.objects.record(olga, "retry", f"job:from-{source or 'nowhere'}")
    text = admin_client.get(LIST).content.decode()
    for word in ("command line", "not recorded", "By source"):
        assert word in text

    for source in Source:
        text = admin_client.get(LIST, {"source__exact": source.value}).content.decode()
        assert [each for each in Source if f"job:from-{each or 'nowhere'}" in text] == [source]
    chinese = admin_client.get(LIST, headers={"accept-language": "zh-hans"}).content.decode()
    assert "命令行" in chinese


def test_the_export_has_the_source(admin_client):
    with acting_from(Source.API):
        line = AuditEntry.objects.record(None, "retry", "job:x")
    answer = admin_client.post(LIST, {"action": "export", "_selected_action": [line.pk]})
    header, row = answer.content.decode().splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=True))["source"] == "api"
    assert json.loads(row.split(",")[-1]) == {}


def act(client, **headers):
    """Have a page and the API each write a line; answers the two addresses."""
    AuditEntry.objects.all().delete()
    job_id = tasks.add.enqueue(1, 2)
    client.post(reverse("monitor:job-hold", args=[job_id]), {"reason": "A test"}, **headers)
    client.post(reverse("monitor:api-job-release", args=[job_id]), "{}", "application/json", **headers)
    return list(AuditEntry.objects.order_by("pk").values_list("address", flat=True))


@pytest.mark.parametrize(
    ("proxies", "connected", "forwarded", "address"),
    [
        (0, "203.0.113.9", None, "203.0.113.9"),
        (0, "203.0.113.9", "198.51.100.1", "203.0.113.9"),  # anybody may say so
        (1, "10.0.0.1", "198.51.100.1", "198.51.100.1"),
        (1, "10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),  # the first is what the client says of itself
        (2, "10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (2, "203.0.113.9", "198.51.100.1", "203.0.113.9"),  # it did not pass both
        (1, "10.0.0.1", "unknown", "10.0.0.1"),
        (1, "10.0.0.1", "2001:DB8::1", "2001:db8::1"),
        (0, "::ffff:203.0.113.9", None, "203.0.113.9"),
        (0, "fe80::1%eth0", None, "fe80::1"),
        (0, "", None, None),  # through a socket of the file system
    ],
)
def test_the_address_is_that_of_the_client(person, settings, proxies, connected, forwarded, address):
    settings.TRUSTED_PROXIES = proxies
    headers = {"REMOTE_ADDR": connected} | ({"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {})
    assert act(person("operate"), **headers) == [address, address]


def test_what_comes_from_no_request_has_no_address(admin_client):
    over = timezone.now() - timedelta(minutes=1)
    entry = make_entry("old", paused_at=over, paused_until=over, next_at=over)
    words = {"action": "run_now", "_selected_action": [entry.pk]}
    admin_client.post(reverse("admin:jobs_scheduleentry_changelist"), words)
    call_command("jobs", "pause", "queue:low", "--reason", "A test")

    lines = AuditEntry.objects.values_list("source", "address")
    assert ("page", "127.0.0.1") in lines
    assert {address for source, address in lines if source != "page"} == {None}
    assert len({source for source, _address in lines}) >= 2


@pytest.mark.parametrize(("role", "is_shown"), [("view", False), ("edit", False), ("admin", True)])
def test_the_role_admin_alone_sees_addresses(person, role, is_shown):
    with acting_from(Source.PAGE, "203.0.113.9"):
        line = AuditEntry.objects.record(None, "retry", "job:x")
    client = person(role)
    client_user = User.objects.get(username=f"{role}-er")
    client_user.user_permissions.add(Permission.objects.get(codename="view_auditentry"))

    pages = [
        client.get(LIST),
        client.get(reverse("admin:jobs_auditentry_change", args=[line.pk])),
        client.post(LIST, {"action": "export", "_selected_action": [line.pk]}),
    ]

    assert [page.status_code for page in pages] == [200, 200, 200]
    assert ["203.0.113.9" in page.content.decode() for page in pages] == [is_shown] * 3
    assert client.get(LIST, {"address__startswith": "203"}).status_code == (200 if is_shown else 400)
