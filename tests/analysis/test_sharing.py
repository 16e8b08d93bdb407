"""A comparison by a link: who has it sees the report and nothing else, until it ends."""

from datetime import timedelta

import pytest
from django.core import signing
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from accounts.models import Membership, TeamRole
from analysis.models import Comparison, Report, State
from analysis.sharing import SIGNER
from tests.analysis.test_reports import comparison, report  # noqa: F401

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(alice) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(alice)
    return client


@pytest.fixture
def stranger() -> Client:
    return Client(headers={"accept-language": "en"})


@pytest.fixture
def shared(page, comparison) -> str:  # noqa: F811
    """The link, as its page shows it."""
    page.post(reverse("analysis:share", args=[comparison.pk]))
    return page.get(comparison.get_absolute_url()).context["link"]


def complete(report):  # noqa: F811
    line = {"asin": "B0LAMP0001", "marketplace": "amazon.com", "title": "A lamp of ours", "price": "10.00"}
    numbers = {"products": [line | {"counts": {}}], "price": {}, "bsr": {}, "rating": {}}
    words = {"summary": "Ours is the cheaper lamp."}
    Report.objects.filter(pk=report.pk).update(
        state=State.COMPLETED, numbers=numbers, content=words, completed_at=now()
    )


def test_who_has_the_link_sees_the_report_and_no_way_further(stranger, shared, report):  # noqa: F811
    complete(report)

    answer = stranger.get(shared)

    text = answer.content.decode()
    assert answer.status_code == 200
    assert "A lamp of ours" in text
    assert "Ours is the cheaper lamp." in text
    assert "own product" in text
    assert "/products/" not in text
    assert "<form" not in text
    assert answer["X-Robots-Tag"] == "noindex"
    assert "no-store" in answer["Cache-Control"]
    assert stranger.get(report.comparison.get_absolute_url()).status_code == 302  # to the way in


def test_before_there_is_a_good_report_it_says_so(stranger, shared, report):  # noqa: F811
    assert "No report yet." in stranger.get(shared).content.decode()
    Report.objects.filter(pk=report.pk).update(state=State.FAILED, error="The budget is spent.")
    assert "The budget" not in stranger.get(shared).content.decode()


def ended(page, comparison):  # noqa: F811
    page.post(reverse("analysis:end_sharing", args=[comparison.pk]))


def shared_anew(page, comparison):  # noqa: F811
    ended(page, comparison)
    page.post(reverse("analysis:share", args=[comparison.pk]))


def run_out(page, comparison):  # noqa: F811
    Comparison.objects.filter(pk=comparison.pk).update(shared_until=now())


def deleted(page, comparison):  # noqa: F811
    page.post(reverse("analysis:remove_comparison", args=[comparison.pk]))


def without_its_team(page, comparison):  # noqa: F811
    type(comparison.team).objects.filter(pk=comparison.team_id).update(ended_at=now())


@pytest.mark.parametrize("fate", [ended, shared_anew, run_out, deleted, without_its_team])
def test_a_link_that_is_over_leads_nowhere(page, stranger, shared, comparison, fate):  # noqa: F811
    assert stranger.get(shared).status_code == 200
    fate(page, comparison)
    assert stranger.get(shared).status_code == 404


def test_no_link_can_be_made_up(stranger, shared, comparison):  # noqa: F811
    comparison.refresh_from_db()
    until = comparison.shared_until.timestamp()
    words = [
        *(SIGNER.sign_object(value) for value in ([comparison.pk + 1, until], [comparison.pk, until + 1])),
        signing.Signer(salt="another").sign_object([comparison.pk, until]),
        signing.Signer(key="k" * 50, salt=SIGNER.salt).sign_object([comparison.pk, until]),
        *("x", "x:y", f"{shared.rstrip('/').rsplit('/', 1)[1]}x", "%00", "é" * 500),
    ]
    for word in words:
        assert stranger.get(f"/shared/{word}/").status_code in (400, 404), word


def test_it_holds_for_thirty_days_and_is_a_member_s_to_give(page, stranger, charlie, comparison):  # noqa: F811
    other = Client(headers={"accept-language": "en"})
    other.force_login(charlie)
    Membership.objects.create(team=comparison.team, user=charlie, role=TeamRole.VIEWER)
    for name in ("analysis:share", "analysis:end_sharing"):
        address = reverse(name, args=[comparison.pk])
        assert other.post(address).status_code == 404  # in his own team
        assert page.get(address).status_code == 405
        assert stranger.post(address).status_code == 302
    other.post(reverse("enter_team", args=[comparison.team_id]))
    assert other.post(reverse("analysis:share", args=[comparison.pk])).status_code == 403
    comparison.refresh_from_db()
    assert comparison.shared_until is None

    page.post(reverse("analysis:share", args=[comparison.pk]))

    comparison.refresh_from_db()
    assert abs(comparison.shared_until - now() - timedelta(days=30)) < timedelta(minutes=1)
    seen = other.get(comparison.get_absolute_url()).content.decode()
    assert "/shared/" not in seen
