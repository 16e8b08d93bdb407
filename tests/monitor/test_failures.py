"""Failures by cause: ten thousand failures of three causes are three lines, each with its past."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.inspect import failures
from amazon_pilot.jobs.inspect.failures import WINDOWS
from amazon_pilot.jobs.models import JobRun

pytestmark = [pytest.mark.django_db, pytest.mark.both]
NOW = timezone.now()


def failure(cause, ago, n=0):
    return JobRun(
        job_id=f"{cause}-{n}-{ago}", execution_id="e", task=f"shop.tasks.{cause}", queue="low", outcome="failed",
        started_at=NOW - ago, ended_at=NOW - ago, exception="x.Error", message=f"{cause} broke", fingerprint=cause,
    )  # fmt: skip


def write(*runs):
    JobRun.objects.bulk_create(runs)


def group(cause, window="24h"):
    return next(row for row in failures.groups(WINDOWS[window], NOW)["rows"] if row.fingerprint == cause)


@pytest.mark.slow
def test_ten_thousand_failures_of_three_causes_are_three_groups(admin_client, django_assert_max_num_queries):
    causes = ["amazon"] * 6000 + ["timeout"] * 3000 + ["typo"] * 1000
    JobRun.objects.bulk_create(
        [failure(cause, timedelta(seconds=n), n) for n, cause in enumerate(causes)], batch_size=500
    )

    found = failures.groups(WINDOWS["24h"], NOW)

    assert [(row.fingerprint, row.count) for row in found["rows"]] == [
        ("amazon", 6000), ("timeout", 3000), ("typo", 1000)
    ]  # fmt: skip
    assert [sum(row.bars) for row in found["rows"]] == [6000, 3000, 1000]
    assert found["rows"][0].message == "amazon broke"
    with django_assert_max_num_queries(28):
        text = admin_client.get(reverse("monitor:failures")).content.decode()
    assert "3 causes within 24 hours." in text


def test_a_cause_never_seen_before_is_new():
    write(failure("a", timedelta(hours=2)), failure("a", timedelta(hours=1)))

    assert group("a").is_new
    assert not group("a").is_back


def test_a_cause_that_goes_on_is_neither_new_nor_back():
    write(*(failure("a", timedelta(hours=hours)) for hours in range(0, 60, 3)))

    assert not group("a").is_new
    assert not group("a").is_back
    assert group("a").first_ever == NOW - timedelta(hours=57)


def test_a_cause_that_was_away_for_a_day_is_back():
    write(failure("a", timedelta(hours=1)), failure("a", timedelta(hours=30)))

    assert group("a").is_back
    assert group("a").quiet_since == NOW - timedelta(hours=30)


@pytest.mark.parametrize(("pause", "is_back"), [(20, False), (30, True)])
def test_a_pause_within_the_window_is_seen_too(pause, is_back):
    write(failure("a", timedelta(hours=2)), failure("a", timedelta(hours=2 + pause)))

    assert group("a", "7d").is_back is is_back
    assert group("a", "7d").is_new


@pytest.mark.parametrize(("window", "bars"), [("1h", 60), ("24h", 24), ("7d", 28), ("30d", 30)])
def test_the_trend_ends_with_the_newest(window, bars):
    write(failure("a", timedelta(0)), failure("a", WINDOWS[window].back - timedelta(seconds=1)))

    found = group("a", window)

    assert len(found.bars) == bars
    assert (found.bars[0], found.bars[-1]) == (1, 1)
    assert found.columns[0][2] == 24


def test_what_failed_before_the_window_is_not_listed(admin_client):
    write(failure("a", timedelta(hours=3)))

    assert failures.groups(WINDOWS["1h"], NOW)["rows"] == []
    assert "Nothing failed in this time." in admin_client.get(
        reverse("monitor:failures"), {"window": "1h"}
    ).content.decode()  # fmt: skip


def test_a_count_leads_to_the_runs_behind_it(admin_client):
    write(failure("a", timedelta(minutes=1)), failure("a", timedelta(minutes=2)), failure("b", timedelta(minutes=3)))
    text = admin_client.get(reverse("monitor:failures")).content.decode()
    address = reverse("monitor:jobs") + "?q=cause%3Aa+since%3A24h"

    assert address in text
    assert [row.job_id for row in admin_client.get(address).context["listing"].rows] == [
        failure("a", timedelta(minutes=1)).job_id, failure("a", timedelta(minutes=2)).job_id
    ]  # fmt: skip


def test_a_group_is_retried_and_deleted_by_those_who_may(person):
    write(failure("a", timedelta(minutes=1)))
    client = person("operate")
    text = client.get(reverse("monitor:failures")).content.decode()
    address = reverse("monitor:bulk_preview") + "?action=retry&amp;q=cause%3Aa+state%3Afailed"

    assert address in text
    assert "action=delete" not in text
    assert "1 is looked at." in client.get(address.replace("&amp;", "&")).content.decode()


def test_more_groups_than_fit_are_cut_and_the_page_says_so(admin_client):
    write(*(failure(f"c{n}", timedelta(minutes=1)) for n in range(failures.MOST + 1)))

    assert "Only the 50 most frequent are shown." in admin_client.get(reverse("monitor:failures")).content.decode()


def test_staff_without_a_role_see_no_failures(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("staff", is_staff=True))

    assert client.get(reverse("monitor:failures")).status_code == 403
