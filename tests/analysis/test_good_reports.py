"""What was good stays in sight, and what was decided stays decided."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse

from analysis.models import Comparison, Report, Suggestion
from analysis.tasks import competitor_analysis, optimization_analysis
from tests.world import NOON, see

pytestmark = pytest.mark.django_db(transaction=True)
BAD = {"title": "LAMP!!! lamp lamp lamp", "bullets": ("Bright.",)}


@pytest.fixture
def page(client, alice):
    client.force_login(alice)
    return client


def write(alice, lamp, **words):
    report = Report.objects.ask_optimization(alice.teams.get(), lamp, **words)
    optimization_analysis(report.pk)
    report.refresh_from_db()
    return report


def shown(page, lamp):
    return page.get(reverse("analysis:suggestions", args=[lamp.marketplace, lamp.asin])).content.decode()


def test_a_later_failure_hides_no_good_suggestions_and_says_why(page, alice, lamp, sandbox):
    see(lamp, **BAD)
    good = write(alice, lamp)
    sandbox.openai.fail_next(401, message="the key is wrong")
    write(alice, lamp, forced=True)

    html = shown(page, lamp)

    assert good.suggestions.first().title in html
    assert "the key is wrong" in html


def test_while_a_new_one_is_written_the_good_one_stays(page, alice, lamp, sandbox):
    see(lamp, **BAD)
    good = write(alice, lamp)
    Report.objects.ask_optimization(alice.teams.get(), lamp, forced=True)

    html = shown(page, lamp)

    assert good.suggestions.first().title in html
    assert "every 2s" in html


def comparison_with(alice, lamp, competitors, *states):
    row = Comparison.objects.start(alice.teams.get(), lamp, competitors[:3])
    for state in states:
        report = Report.objects.ask_comparison(row)
        if state == "completed":
            report.complete({"summary": f"Good words {report.version}"})
        elif state == "failed":
            report.mark_failed(f"Bad luck {report.version}")
    return row


@pytest.mark.parametrize(
    ("states", "there", "absent"),
    [
        (("completed", "failed"), ["Good words 1", "Bad luck 2"], []),
        (("completed", "failed", "pending"), ["Good words 1", "Waiting"], ["Bad luck 2"]),
        (("completed", "completed"), ["Good words 2"], ["Good words 1"]),
        (("failed",), ["Bad luck 1"], []),
        (("completed", *["failed"] * 12), ["Good words 1", "Bad luck 13"], []),
        ((), ["No report yet."], []),
    ],
    ids=str,
)
def test_a_comparison_shows_its_last_good_report_and_what_came_of_the_latest(
    page, alice, lamp, competitors, states, there, absent
):
    row = comparison_with(alice, lamp, competitors, *states)

    html = page.get(row.get_absolute_url()).content.decode()

    assert [text for text in there if text not in html] == []
    assert [text for text in absent if text in html] == []


def test_an_older_version_can_still_be_chosen(page, alice, lamp, competitors):
    row = comparison_with(alice, lamp, competitors, "completed", "completed")

    assert "Good words 1" in page.get(f"{row.get_absolute_url()}?version=1").content.decode()


@pytest.mark.later
def test_pruning_keeps_the_last_good_report_behind_failures(alice, lamp, competitors):
    row = comparison_with(alice, lamp, competitors, "completed", "completed", *["failed"] * 12)

    assert Report.objects.prune() == 3
    assert sorted(row.reports.good().values_list("version", flat=True)) == [2]


def test_the_page_shows_numbers_with_places_ages_and_who_is_left_out(page, alice, lamp, competitors, sandbox):
    see(lamp, price=Decimal("100"))
    for product, price in zip(competitors[:3], (80, 90, 300), strict=True):
        see(product, price=Decimal(price), availability="no_offer" if price == 300 else "in_stock")
    row = Comparison.objects.start(alice.teams.get(), lamp, competitors[:3])
    competitor_analysis(Report.objects.ask_comparison(row).pk)

    html = " ".join(page.get(row.get_absolute_url()).content.decode().split())

    assert "17.6 %" in html
    assert "place 3 of 3" in html
    assert f"left out of prices and ranks: {competitors[2].asin}" in html
    assert 'title="2026-06-01' in html


def decide(report, state, title=None):
    row = report.suggestions.get(title=title) if title else report.suggestions.first()
    row.decide(state)
    return row


@pytest.mark.later
@pytest.mark.parametrize("forced", [False, True], ids=["stored", "asked anew"])
@pytest.mark.parametrize("state", ["dismissed", "applied"])
def test_what_was_decided_stays_so_when_the_same_facts_come_back(alice, lamp, sandbox, forced, state):
    see(lamp, **BAD)
    decided = decide(write(alice, lamp), state)

    again = write(alice, lamp, forced=forced)
    third = write(alice, lamp, forced=forced)

    for report in (again, third):
        row = report.suggestions.get(title=decided.title)
        assert (row.state, row.decided_at) == (state, decided.decided_at)
        assert report.suggestions.filter(state="open").count() == report.suggestions.count() - 1


@pytest.mark.later
def test_another_fact_elsewhere_does_not_bring_it_back_but_its_own_facts_do(alice, lamp, sandbox):
    see(lamp, **BAD)
    decided = decide(write(alice, lamp), "dismissed", "Clean the title")

    see(lamp, NOON + timedelta(hours=5), **BAD, price=Decimal("39.99"), review_count=5000)
    elsewhere = write(alice, lamp)
    see(lamp, NOON + timedelta(hours=9), **(BAD | {"title": "LAMP!!! another lamp lamp lamp"}))
    its_own = write(alice, lamp)

    assert elsewhere.suggestions.get(title=decided.title).state == "dismissed"
    assert its_own.suggestions.get(title=decided.title).state == "open"


ITEM = {
    "category": "title", "priority": "high", "impact_score": 80, "title": "Clean it", "reason": "R",
    "proposed_text": None, "proposed_price": None, "action_items": [], "evidence": ["F1"],
}  # fmt: skip


def say(model, *titles):
    model.answers.clear()
    items = [ITEM | {"title": title} for title in titles]
    model.say({"overall_score": 5, "summary": "s", "suggestions": items})


@pytest.mark.later
@pytest.mark.parametrize(
    ("before", "after", "dismissed"),
    [
        (["Clean it"], ["Tidy it up"], ["Tidy it up"]),  # the only one on these facts, in other words
        (["Clean it"], ["CLEAN IT "], ["CLEAN IT "]),
        (["Clean it"], ["Tidy it up", "Shorten it"], []),  # which of the two would it be?
        (["Clean it"], ["Clean it", "Shorten it"], ["Clean it"]),
        (["Clean it", "Shorten it"], ["Tidy it up"], []),
    ],
    ids=str,
)
def test_a_model_that_words_it_anew_is_known_again_when_nothing_else_can_be_meant(
    alice, lamp, model, before, after, dismissed
):
    see(lamp)
    say(model, *before)
    decide(write(alice, lamp), "dismissed", "Clean it")
    say(model, *after)

    report = write(alice, lamp, forced=True)

    assert list(report.suggestions.filter(state="dismissed").values_list("title", flat=True)) == dismissed


@pytest.mark.later
def test_a_decision_is_of_its_user_alone(alice, charlie, lamp, sandbox):
    see(lamp, **BAD)
    decide(write(alice, lamp), "dismissed")

    report = write(charlie, lamp)

    assert set(report.suggestions.values_list("state", flat=True)) == {"open"}
    assert Suggestion.objects.filter(state="dismissed").count() == 1
