"""What the model's answers cost is booked whatever comes after, never beyond a budget, and nothing is paid for ever."""

import threading
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import Sum
from django.utils.timezone import now

from analysis.llm import LLMBusy, LLMError, Usage
from analysis.models import MAX_ATTEMPTS, ModelCall, Report, Spending
from analysis.spending import BILLION, Account, BudgetSpent
from analysis.tasks import competitor_analysis, optimization_analysis, resume_reports
from notifications.models import Notification
from products.models import Product
from tests.world import enqueued, see

pytestmark = pytest.mark.django_db(transaction=True)

ITEM = {
    "category": "title", "priority": "high", "impact_score": 80, "title": "T", "reason": "R", "proposed_text": None,
    "proposed_price": None, "action_items": ["a"], "evidence": ["F1"],
}  # fmt: skip
WRITTEN = {"overall_score": 50, "summary": "s", "suggestions": [ITEM]}
NASTY = "a\x00b\ud83dc\udc00"


@pytest.fixture
def report(alice, lamp):
    see(lamp)
    return Report.objects.ask_optimization(alice.teams.get(), lamp)


def now_state(report):
    report.refresh_from_db()
    return report.state


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "more"),
    [
        (WRITTEN | {"summary": NASTY}, {}),  # O11
        (WRITTEN | {"suggestions": [ITEM | {"title": NASTY, "reason": NASTY, "evidence": [NASTY]}]}, {}),
        (WRITTEN | {"suggestions": [ITEM | {"proposed_text": NASTY, "action_items": [NASTY]}]}, {}),
        (WRITTEN | {NASTY: 1}, {}),
        (WRITTEN, {"model": "m" * 100_000}),
        (WRITTEN, {"model": NASTY}),
        (WRITTEN, {"model": ["m"]}),
        (WRITTEN, {"usage": {"prompt_tokens": 10**12, "completion_tokens": 10**12}}),
        (WRITTEN, {"usage": {"prompt_tokens": -1, "completion_tokens": float("nan")}}),
        (WRITTEN | {"suggestions": [ITEM | {"impact_score": 10**30}]}, {}),
        (WRITTEN | {"suggestions": [ITEM | {"title": "t" * 10_000, "reason": "r" * 100_000}]}, {}),
        (WRITTEN | {"suggestions": [ITEM] * 500}, {}),
        (WRITTEN | {"suggestions": [ITEM, *[7] * 70_000]}, {}),
    ],
    ids=range(13),
)
def test_whatever_the_model_writes_is_booked_stored_and_paid_once(report, model, written, more):
    model.say(written, **more)

    optimization_analysis(report.pk)

    assert now_state(report) == "completed"
    assert (ModelCall.objects.count(), len(model.asked)) == (1, 1)
    assert ModelCall.objects.get().output_tokens is not None


@pytest.mark.later
def test_the_rows_hold_what_the_server_said_cut_and_cleaned(report, model):
    model.answers.append((200, {"x-request-id": "r" * 5000}, b""))
    model.say(WRITTEN, model="\x00gpt" + "m" * 200)
    model.answers[0] = (*model.answers[0][:2], model.answers.pop()[2])

    optimization_analysis(report.pk)

    call = ModelCall.objects.get()
    assert call.model == "gpt" + "m" * 97
    assert call.request_id == "r" * 100
    assert (call.input_tokens, call.output_tokens, call.cost_usd) == (1000, 100, Decimal("0.00056"))


@pytest.mark.later
def test_a_report_that_the_database_refuses_fails_with_the_reason_and_is_not_paid_again(report, model):
    model.say(WRITTEN)
    refuse = "SELECT RAISE(ABORT, 'the database says no')"
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"CREATE TRIGGER no BEFORE INSERT ON analysis_suggestion BEGIN {refuse}; END")
        else:
            cursor.execute("ALTER TABLE analysis_suggestion ADD CONSTRAINT no CHECK (title = 'other')")
    try:
        optimization_analysis(report.pk)
        optimization_analysis(report.pk)
        resume_reports()
    finally:
        with connection.cursor() as cursor:
            on = "" if connection.vendor == "sqlite" else "ALTER TABLE analysis_suggestion"
            cursor.execute("DROP TRIGGER no" if not on else f"{on} DROP CONSTRAINT no")

    assert now_state(report) == "failed"
    assert "could not be stored" in report.error
    assert report.numbers["score"]
    assert (ModelCall.objects.count(), len(model.asked), enqueued()) == (1, 1, [])


def test_attempts_are_counted_when_a_report_is_claimed(report, model):
    model.say(WRITTEN)
    Report.objects.update(attempts=MAX_ATTEMPTS, state="processing", next_at=now() - timedelta(minutes=11))
    resume_reports()
    assert enqueued() == [("analysis.tasks.optimization_analysis", [report.pk])]

    optimization_analysis(report.pk)

    assert now_state(report) == "failed"
    assert f"after {MAX_ATTEMPTS} attempts" in report.error
    assert model.asked == []


@pytest.mark.later
def test_a_fault_of_ours_ends_after_the_attempts_with_its_name(report, monkeypatch):
    def broken(_product):
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr("analysis.tasks.optimization_sheet", broken)
    for _attempt in range(MAX_ATTEMPTS - 1):
        with pytest.raises(ZeroDivisionError):
            optimization_analysis(report.pk)
        assert now_state(report) == "pending"
    optimization_analysis(report.pk)

    assert now_state(report) == "failed"
    assert "ZeroDivisionError" in report.error


@pytest.mark.later
def test_a_busy_server_is_waited_for_without_counting_attempts(report, model):  # O8
    model.answer({"error": {"message": "Slow down"}}, 429, Retry_After=7)
    for _time in range(MAX_ATTEMPTS * 2):
        before = now()
        with pytest.raises(LLMBusy):
            optimization_analysis(report.pk)
        assert (now_state(report), report.attempts) == ("pending", 0)
        assert timedelta(seconds=6) < report.next_at - before < timedelta(seconds=12)
        assert optimization_analysis(report.pk) == "already pending"  # asked again too early
        Report.objects.update(next_at=now())
    assert len(model.asked) == MAX_ATTEMPTS * 2
    model.answers.clear()
    model.say(WRITTEN)

    optimization_analysis(report.pk)

    assert now_state(report) == "completed"
    assert ModelCall.objects.get().cost_usd > 0  # refusals cost nothing
    assert Spending.objects.filter(billionths_usd=ModelCall.objects.get().cost_usd * BILLION).count() == 4


@pytest.mark.later
def test_a_wrong_key_is_told_to_operators_once_and_to_the_user_on_the_report(report, model, admin_user):
    model.answer({"error": {"message": "Wrong key"}}, 401)
    for _report in range(3):
        optimization_analysis(Report.objects.ask_optimization(report.team, report.product, forced=True).pk)

    (notice,) = Notification.objects.filter(channel__user=admin_user)
    assert "OPENAI_API_KEY" in notice.body
    assert set(Report.objects.values_list("error", flat=True)) == {notice.body}


@pytest.mark.later
@pytest.mark.parametrize("wait", [90_000, "1e300", 10**30])
def test_a_wait_of_more_than_a_day_is_not_waited_for(report, model, wait):
    model.answer({"error": {"message": "Slow down"}}, 429, Retry_After=wait)

    optimization_analysis(report.pk)

    assert now_state(report) == "failed"
    assert "Slow down" in report.error


@pytest.mark.later
def test_a_server_that_stays_busy_is_given_up_after_a_day(report, model):
    model.answer({"error": {"message": "Slow down"}}, 429)
    Report.objects.update(created_at=now() - timedelta(hours=24))

    optimization_analysis(report.pk)

    assert now_state(report) == "failed"
    assert "a day of waiting" in report.error


@pytest.mark.later
def test_a_lost_answer_keeps_its_reservation_and_its_cost_stays_unknown(report, sandbox):
    sandbox.openai.fail_next(breaks="reset")

    with pytest.raises(LLMError):
        optimization_analysis(report.pk)

    call = ModelCall.objects.get()
    assert (call.cost_usd, call.reserved_usd > 0) == (None, True)
    assert set(Spending.objects.values_list("billionths_usd", flat=True)) == {int(call.reserved_usd * BILLION)}


@pytest.mark.later
@pytest.mark.parametrize("name", ["DAILY_BUDGET", "MONTHLY_BUDGET", "TOTAL_DAILY_BUDGET", "TOTAL_MONTHLY_BUDGET"])
def test_each_budget_holds_and_says_which_it_is(report, model, settings, name):
    setattr(settings, f"OPENAI_{name}_USD", Decimal("0.0001"))

    optimization_analysis(report.pk)

    assert now_state(report) == "failed"
    assert f"{'month' if 'MONTH' in name else 'Today'}" in report.error
    assert ("everybody" in report.error) == ("TOTAL" in name)
    assert (model.asked, ModelCall.objects.count()) == ([], 0)
    assert not Spending.objects.filter(billionths_usd__gt=0)


def test_what_was_spent_before_a_budget_was_kept_counts(report, model, settings):
    ModelCall.objects.create(team=report.team, purpose="x", model="m", cost_usd=settings.OPENAI_DAILY_BUDGET_USD)

    optimization_analysis(report.pk)

    assert "budget" in Report.objects.get().error
    assert model.asked == []


@pytest.mark.later
def test_prices_of_zero_need_no_budget(report, model, settings):
    for name in ("INPUT", "CACHED", "OUTPUT"):
        setattr(settings, f"OPENAI_USD_PER_MILLION_{name}", Decimal(0))
    settings.OPENAI_DAILY_BUDGET_USD = Decimal(0)
    model.say(WRITTEN)

    optimization_analysis(report.pk)

    assert now_state(report) == "completed"


def at_once(count, work):
    """Run `work(number)` in so many threads that begin together, each with a connection of its own."""
    begin = threading.Barrier(count)

    def run(number):
        begin.wait()
        try:
            work(number)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.later
@pytest.mark.parametrize(("most", "cost", "fits"), [("0.10", "0.10", 7), ("0.10", None, 7), ("0.3", "0.3", 2)])
def test_ten_askers_at_once_never_pass_a_budget(report, settings, most, cost, fits):
    settings.OPENAI_DAILY_BUDGET_USD = Decimal("0.70")
    made = []

    def ask(_number):
        account = Account(report)
        with suppress(BudgetSpent):
            account.reserve(Decimal(most))
            made.append(1)
            account.settle(Usage("m", 1, 0, 1, 0, cost and Decimal(cost), "r"))

    at_once(10, ask)

    spent = Spending.objects.get(key__startswith=f"team {report.team_id} {now():%Y-%m-%d}").billionths_usd
    assert len(made) == fits
    assert spent == fits * Decimal(most) * BILLION
    held = ModelCall.objects.aggregate(cost=Sum("cost_usd"), reserved=Sum("reserved_usd"))
    assert (held["cost"] if cost else held["reserved"]) == fits * Decimal(most)


@pytest.mark.later
def test_what_is_given_back_can_be_reserved_again(report, settings):
    settings.OPENAI_DAILY_BUDGET_USD = Decimal("0.10")
    account = Account(report)
    for _turn in range(3):
        account.reserve(Decimal("0.10"))
        with pytest.raises(BudgetSpent):
            Account(report).reserve(Decimal("0.00000001"))
        account.settle(None)
    account.reserve(Decimal("0.10"))
    account.settle(Usage("m", 1, 0, 1, 0, Decimal("0.04"), "r"))

    Account(report).reserve(Decimal("0.06"))

    with pytest.raises(BudgetSpent):
        Account(report).reserve(Decimal("0.00000001"))


@pytest.mark.later
def test_ten_jobs_of_one_report_ask_once(report, model):
    model.say(WRITTEN)

    at_once(10, lambda _number: optimization_analysis(report.pk))

    assert (len(model.asked), ModelCall.objects.count(), now_state(report)) == (1, 1, "completed")


@pytest.mark.later
def test_one_users_budget_does_not_hold_another(report, charlie, model, settings):
    settings.OPENAI_DAILY_BUDGET_USD = Decimal("0.50")
    Account(report).reserve(Decimal("0.50"))
    model.say(WRITTEN)
    other = Report.objects.ask_optimization(charlie.teams.get(), Product.objects.get())

    optimization_analysis(other.pk)
    optimization_analysis(report.pk)

    assert (now_state(other), now_state(report)) == ("completed", "failed")


@pytest.mark.later
def test_a_comparison_is_booked_in_the_same_way(alice, lamp, competitors, model):
    from analysis.models import Comparison

    for product in (lamp, *competitors[:3]):
        see(product)
    asked = Report.objects.ask_comparison(Comparison.objects.start(alice.teams.get(), lamp, competitors[:3]))
    model.say({"summary": NASTY})

    with pytest.raises(LLMError):
        competitor_analysis(asked.pk)

    assert ModelCall.objects.filter(cost_usd__gt=0).count() == 2  # the answer and its repair
    assert "Answer again" not in Report.objects.get().error
