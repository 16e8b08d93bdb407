"""The door to OpenAI: every answer is checked, every failure has its name, and what was paid is never lost."""

import logging
import signal
import time
from decimal import Decimal
from typing import Any

import pytest
from openai.lib._pydantic import to_strict_json_schema

from analysis import llm
from analysis.llm import CompetitorReport, OptimizationReport

RULES = "Explain the facts."
FACTS: dict[str, Any] = {
    "task": "competitor_analysis",
    "facts": [
        {"id": "F1", "subject": "own", "name": "title", "value": "Brimsett Desk Lamp with Clamp"},
        {"id": "F2", "subject": "own", "name": "price", "value": "34.99 USD"},
        {"id": "F3", "subject": "own", "name": "rating", "value": "4.4"},
        {"id": "F4", "subject": "own", "name": "bullet", "value": "Clamp opens to 5 cm."},
        {"id": "F5", "subject": "own", "name": "images", "value": 2},
        {"id": "F6", "subject": "own", "name": "listing score", "value": 61},
        {"id": "F7", "subject": "B0LAMP0002", "name": "title", "value": "Luvenn LED Desk Lamp"},
        {"id": "F8", "subject": "B0LAMP0002", "name": "bullet", "value": "Remote control included for evenings."},
        {"id": "F9", "subject": "comparison", "name": "price gap_percent", "value": "18.2"},
        {"id": "F10", "subject": "comparison", "name": "rating difference", "value": "-0.4"},
    ],
}
IDS = {fact["id"] for fact in FACTS["facts"]}


@pytest.fixture(params=["json_schema", "json_object"])
def schema_mode(request, settings):
    settings.OPENAI_SCHEMA_MODE = request.param


def test_facts_become_a_checked_report_and_its_cost(sandbox, schema_mode):
    answer = llm.ask(RULES, FACTS, CompetitorReport)

    (usage,) = answer.usages
    assert "Brimsett" in answer.parsed.summary
    assert {row.type for row in answer.parsed.recommendations} == {"pricing", "positioning", "features"}
    assert all(set(row.evidence) <= IDS and row.evidence for row in answer.parsed.recommendations)
    assert usage.input_tokens > 0
    assert usage.output_tokens > usage.reasoning_tokens > 0
    assert usage.cost_usd > 0
    assert usage.request_id.startswith("req_")
    assert sandbox.count("POST") == 1


def test_suggestions_are_asked_for_in_the_same_way(sandbox, schema_mode):
    report = llm.ask(RULES, FACTS, OptimizationReport).parsed

    assert report.overall_score == 61
    assert {"images", "bullets"} <= {row.category for row in report.suggestions}


def test_the_cost_counts_cached_tokens_at_their_own_price(settings):
    settings.OPENAI_USD_PER_MILLION_INPUT = Decimal("2")
    settings.OPENAI_USD_PER_MILLION_CACHED = Decimal("0.5")
    settings.OPENAI_USD_PER_MILLION_OUTPUT = Decimal("8")

    assert llm._cost_usd(1000, 400, 100) == Decimal("0.0022")


def test_a_cost_has_eight_places_and_beyond_what_a_column_holds_it_is_unknown(settings):
    settings.OPENAI_USD_PER_MILLION_INPUT = Decimal("0.123456789")
    assert llm._cost_usd(1, 0, 0) == Decimal("0.00000012")

    settings.OPENAI_USD_PER_MILLION_INPUT = llm.MOST_USD - 1
    assert llm._cost_usd(1_000_000, 0, 0) is None
    assert llm._cost_usd(999_999, 0, 0) is not None


@pytest.mark.parametrize(
    ("told", "counts"),
    [
        (None, (0, 0, 0, 0, False)),
        ({"prompt_tokens": 10}, (10, 0, 0, 0, False)),
        ({"completion_tokens": 10}, (0, 0, 10, 0, False)),
        ({"prompt_tokens": 10, "completion_tokens": 4}, (10, 0, 4, 0, True)),
        ({"prompt_tokens": 10.0, "completion_tokens": 4.0}, (10, 0, 4, 0, True)),
        ({"prompt_tokens": 10.5, "completion_tokens": True}, (0, 0, 0, 0, False)),
        ({"prompt_tokens": -1, "completion_tokens": 4}, (0, 0, 4, 0, False)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, (0, 0, 0, 0, True)),
        (
            {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 6},
             "completion_tokens_details": {"reasoning_tokens": 3}},
            (10, 6, 4, 3, True),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 99},
             "completion_tokens_details": {"reasoning_tokens": 99}},
            (10, 10, 4, 4, True),
        ),
    ],
)  # fmt: skip
def test_what_a_server_counted_is_bounded_by_itself(told, counts, settings):
    usage = llm._usage({"usage": told, "model": "m" * 300}, "r" * 300)

    found = usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.reasoning_tokens
    assert (*found, usage.cost_usd is not None) == counts
    assert (usage.model, usage.request_id) == ("m" * 100, "r" * 100)
    assert llm._usage({}, "").model == settings.OPENAI_MODEL


def test_no_answer_costs_more_than_what_is_set_aside_for_it(settings):
    messages = [{"role": "user", "content": "\u4f60" * 500}]
    most = llm._most_usd(messages, CompetitorReport)

    assert most >= llm._cost_usd(1500, 0, settings.OPENAI_MAX_OUTPUT_TOKENS)
    assert most >= llm._cost_usd(1500, 1500, settings.OPENAI_MAX_OUTPUT_TOKENS)
    assert llm._most_usd([*messages, *messages], CompetitorReport) > most
    settings.OPENAI_USD_PER_MILLION_OUTPUT = Decimal(10) ** 18
    assert llm._most_usd(messages, CompetitorReport) == llm.MOST_USD - 1


def test_rules_and_facts_travel_in_messages_of_their_own(sandbox, monkeypatch):
    sent = []
    kept = llm._post
    monkeypatch.setattr(llm, "_post", lambda messages, *rest: sent.append(list(messages)) or kept(messages, *rest))

    llm.ask(RULES, FACTS, CompetitorReport)

    assert [(message["role"], "Brimsett" in message["content"]) for message in sent[0]] == [
        ("system", False),
        ("user", True),
    ]


def test_an_answer_that_does_not_fit_is_repaired_once_and_both_calls_are_booked(sandbox, schema_mode):
    sandbox.openai.spoil_next("invalid")

    answer = llm.ask(RULES, FACTS, CompetitorReport)

    assert len(answer.usages) == 2
    assert answer.usages[1].input_tokens > answer.usages[0].input_tokens
    assert sandbox.count("POST") == 2


def test_an_answer_that_does_not_fit_twice_is_an_error_with_both_usages(sandbox):
    sandbox.openai.spoil_next("invalid", times=2)

    with pytest.raises(llm.LLMError, match="twice") as caught:
        llm.ask(RULES, FACTS, CompetitorReport)

    assert type(caught.value) is llm.LLMError
    assert [usage.cost_usd > 0 for usage in caught.value.usages] == [True, True]
    assert sandbox.count("POST") == 2


@pytest.mark.parametrize(
    ("output", "kind"),
    [("truncated", llm.LLMRefused), ("refused", llm.LLMRefused), ("filtered", llm.LLMRefused), ("empty", llm.LLMError)],
)
def test_an_answer_without_a_report_still_says_what_it_cost(sandbox, output, kind):
    sandbox.openai.spoil_next(output)

    with pytest.raises(llm.LLMError) as caught:
        llm.ask(RULES, FACTS, CompetitorReport)

    assert type(caught.value) is kind
    (usage,) = caught.value.usages
    assert usage.input_tokens > 0
    assert usage.cost_usd > 0
    assert sandbox.count("POST") == 1


@pytest.mark.parametrize("output", ["prose", "thinking", "bom", "tail", "unstorable", "countless"])
def test_an_answer_with_something_around_it_is_taken_at_the_first_call(sandbox, schema_mode, output):
    sandbox.openai.spoil_next(output)

    answer = llm.ask(RULES, FACTS, CompetitorReport)

    assert "Brimsett" in answer.parsed.summary
    assert "\x00" not in answer.parsed.summary
    assert (answer.usages[0].cost_usd is None) == (output == "countless")
    assert sandbox.count("POST") == 1


def test_a_failed_repair_keeps_the_usage_of_the_first_call(sandbox):
    sandbox.openai.spoil_next("invalid")
    sandbox.openai.fail_next(500)

    with pytest.raises(llm.LLMError) as caught:
        llm.ask(RULES, FACTS, CompetitorReport)

    assert len(caught.value.usages) == 1


def test_a_server_that_does_not_count_leaves_the_cost_unknown(sandbox):
    sandbox.openai.spoil_next("unmetered")

    (usage,) = llm.ask(RULES, FACTS, CompetitorReport).usages

    assert (usage.input_tokens, usage.output_tokens, usage.cost_usd) == (0, 0, None)
    assert usage.request_id.startswith("req_")


@pytest.mark.parametrize("breaks", ["html", "json"])
def test_an_answer_that_is_not_json_is_booked_at_an_unknown_cost(sandbox, breaks):
    sandbox.openai.fail_next(breaks=breaks)

    with pytest.raises(llm.LLMError, match="not JSON") as caught:
        llm.ask(RULES, FACTS, CompetitorReport)

    assert [usage.cost_usd for usage in caught.value.usages] == [None]


def test_quota_is_not_a_plain_429(sandbox):
    sandbox.openai.fail_next(429, kind="insufficient_quota")
    with pytest.raises(llm.LLMQuota):
        llm.ask(RULES, FACTS, CompetitorReport)

    sandbox.openai.fail_next(429, retry_after=21)
    with pytest.raises(llm.LLMBusy) as caught:
        llm.ask(RULES, FACTS, CompetitorReport)

    assert caught.value.retry_after == 21
    assert not isinstance(caught.value, llm.LLMRefused)
    assert sandbox.count("POST") == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_request_that_can_never_work_is_refused(sandbox, status):
    sandbox.openai.fail_next(status)

    with pytest.raises(llm.LLMRefused) as caught:
        llm.ask(RULES, FACTS, CompetitorReport)

    assert not isinstance(caught.value, llm.LLMQuota)
    assert sandbox.count("POST") == 1


@pytest.mark.parametrize("fault", [{"status": 408}, {"status": 409}, {"status": 503}, {"breaks": "reset"}], ids=str)
def test_a_bad_moment_is_left_to_the_queue_and_not_tried_again_here(sandbox, fault):
    sandbox.openai.fail_next(**fault)

    with pytest.raises(llm.LLMError) as caught:
        llm.ask(RULES, FACTS, CompetitorReport)

    assert type(caught.value) is llm.LLMError
    assert sandbox.count("POST") == 1


def test_an_address_where_nobody_listens_is_left_to_the_queue(settings):
    settings.OPENAI_BASE_URL = "http://127.0.0.1:9/v1"

    with pytest.raises(llm.LLMError, match="not reached"):
        llm.ask(RULES, FACTS, CompetitorReport)


@pytest.mark.parametrize("fault", [{"breaks": "drip", "delay": 5}, {"delay": 3}], ids=str)
def test_the_deadline_holds_for_a_slow_answer_and_for_a_body_that_trickles(sandbox, monkeypatch, fault):
    monkeypatch.setattr(llm, "ANSWER_SECONDS", 0.5)
    sandbox.openai.fail_next(**fault)

    began = time.monotonic()
    with pytest.raises(llm.LLMError, match="not reached"):
        llm.ask(RULES, FACTS, CompetitorReport)

    assert time.monotonic() - began < 1


def test_an_alarm_interrupts_a_hanging_call_and_stays_what_it_is(sandbox):
    class TooLongError(Exception):
        """What rq raises from its alarm."""

    def ring(*_):
        raise TooLongError

    sandbox.openai.fail_next(delay=4)
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    began = time.monotonic()
    try:
        with pytest.raises(TooLongError):
            llm.ask(RULES, FACTS, CompetitorReport)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert time.monotonic() - began < 1.3


def test_the_key_is_in_no_error_text_and_in_no_log_line(sandbox, settings, caplog):
    settings.OPENAI_API_KEY = "sk-very-secret"
    caplog.set_level(logging.DEBUG)
    sandbox.openai.fail_next(401, message="Incorrect API key provided: sk-very-secret")

    with pytest.raises(llm.LLMRefused) as caught:
        llm.ask(RULES, FACTS, CompetitorReport)
    llm.ask(RULES, FACTS, CompetitorReport)

    assert "[key]" in str(caught.value)
    assert caught.value.__suppress_context__
    assert "very-secret" not in str(caught.value) + caplog.text


@pytest.mark.parametrize(("length", "kept"), [(299, 299), (300, 300), (301, 300)])
def test_a_long_refusal_is_cut(sandbox, length, kept):
    sandbox.openai.fail_next(401, message="Z" * length)

    with pytest.raises(llm.LLMRefused) as caught:
        llm.ask(RULES, FACTS, CompetitorReport)

    assert str(caught.value).count("Z") == kept


def test_each_schema_is_one_that_strict_servers_accept():
    def check(node):
        if node.get("type") == "object":
            assert node["additionalProperties"] is False
            assert sorted(node["required"]) == sorted(node["properties"])
        for inner in [*node.get("properties", {}).values(), *node.get("$defs", {}).values()]:
            assert "default" not in inner
            check(inner)

    for schema in (CompetitorReport, OptimizationReport):
        check(to_strict_json_schema(schema))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Desk\u200bLamp\u202e", "DeskLamp"),
        ("a\x00b\x1bc\tok\nline", "abc\tok\nline"),
        ("hidden\U000e0041\U000e0042", "hidden"),
        ("\ufeff  blanks  ", "blanks"),
        ("Ｗasser 保溫杯", "Ｗasser 保溫杯"),
    ],
)
def test_a_text_for_a_prompt_loses_what_no_reader_sees(text, clean):
    assert llm.clean_text(text, 100) == clean


def test_a_text_for_a_prompt_is_cut():
    assert llm.clean_text("x" * 50, 10) == "x" * 10
