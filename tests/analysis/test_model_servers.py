"""Servers that only resemble OpenAI: each answer is taken at the first call, or refused with what to mend."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings as conf

from analysis import answers, llm, refusals
from analysis.llm import CompetitorReport, OptimizationReport

REPORT = {
    "summary": "Fine.", "price_insight": "p", "rank_insight": "r", "rating_insight": "s", "unique_features": [],
    "missing_features": [], "common_features": [], "recommendations": [], "market_insights": [],
}  # fmt: skip
FACTS = {"task": "t", "facts": [{"id": "F1", "subject": "own", "name": "title", "value": "Lamp"}]}
ITEM = {
    "category": "title", "priority": "high", "impact_score": 80, "title": "T", "reason": "R", "proposed_text": None,
    "proposed_price": None, "action_items": ["a"], "evidence": ["F1"],
}  # fmt: skip
GOOD = json.dumps(REPORT)


def ask(schema=CompetitorReport, payer=None):
    return llm.ask("Explain.", FACTS, schema, payer)


def test_every_case_that_was_found_has_a_test_that_names_it():
    cases = json.loads((conf.BASE_DIR / "tests/data/llm_cases.json").read_text())
    source = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

    assert not [case for case in cases if f"# {case['id']}\n" not in source]


@pytest.mark.parametrize(
    "written",
    [
        f'<think>Let me see. {{"summary": 1}}</think>\n\n{GOOD}',  # O2
        f"<think>\nopen end {{ [ {GOOD}",
        f"<thinking>…</thinking>{GOOD}",
        f"◁think▷hm◁/think▷{GOOD}",
        f"[THINK]hm[/THINK]{GOOD}",
        f"{GOOD}\nTell me if you need more.",  # O3
        f'{GOOD}\n{{"note": 1}}',
        f"\ufeff{GOOD}",  # O4
        f"\ufeff```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```\nDone {{really}}.",
        f"Here it is:\n~~~json\n{GOOD}",
        f"[{GOOD}]",
        json.dumps({"CompetitorReport": REPORT}),
        GOOD.replace("Fine.", "Fi\nne."),
        f'{{"summary": "a draft"}}\n{GOOD}',
        f"{GOOD}</think>",
        "{" * 150 + GOOD,
        json.dumps(REPORT | {"extra": 1}),
    ],
)
def test_a_good_answer_is_taken_at_the_first_call_whatever_stands_around_it(model, written):
    model.say(written)

    assert ask().parsed.price_insight == "p"
    assert len(model.asked) == 1


@pytest.mark.parametrize(
    "written",
    [
        "",
        "no",
        "{",
        "{" * 100_000,
        "[" * 100_000,
        "<think>",
        '{"a":' * 5000,
        "null",
        "7",
        GOOD[:40],
        '{"summary": "x"}',
    ],
)
def test_what_is_no_answer_is_told_once_and_ends(written):
    with pytest.raises(answers.UnreadableError, match=r"\w"):
        answers.read(written, CompetitorReport)


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"priority": "High"}, "priority", "high"),  # O9
        ({"priority": " LOW "}, "priority", "low"),
        ({"impact_score": 80.5}, "impact_score", 80),
        ({"impact_score": "90"}, "impact_score", 90),
        ({"proposed_price": 19.9}, "proposed_price", "19.9"),
        ({"evidence": "F1"}, "evidence", ["F1"]),
        ({"action_items": ["a", 7, None]}, "action_items", ["a", "7"]),
        ({"category": "Pricing"}, "category", "pricing"),
    ],
)
def test_small_liberties_of_a_model_are_read(model, change, field, value):
    model.say({"overall_score": 50, "summary": "s", "suggestions": [ITEM | change]})

    (item,) = ask(OptimizationReport).parsed.suggestions

    assert getattr(item, field) == value


def test_a_field_that_may_be_null_may_be_left_out(model):
    model.say({"overall_score": 50, "summary": "s", "suggestions": [{k: v for k, v in ITEM.items() if v is not None}]})

    assert ask(OptimizationReport).parsed.suggestions[0].proposed_price is None


@pytest.mark.parametrize(
    "bad",
    [ITEM | {"priority": "urgent"}, ITEM | {"impact_score": "much"}, {"title": "only"}, "a word", None, 7, []],
    ids=str,
)
def test_an_item_that_cannot_be_read_is_left_out_alone_and_counted(model, bad):
    model.say({"overall_score": 50, "summary": "s", "suggestions": [ITEM, bad, ITEM]})

    answer = ask(OptimizationReport)

    assert (len(answer.parsed.suggestions), answer.left_out, len(model.asked)) == (2, 1, 1)


def test_when_no_item_can_be_read_the_model_is_asked_once_more(model):
    model.answers.clear()
    model.say({"overall_score": 50, "summary": "s", "suggestions": [{"title": "only"}]})
    model.say({"overall_score": 50, "summary": "s", "suggestions": [ITEM]})

    assert len(ask(OptimizationReport).usages) == 2
    assert "suggestions.0.reason: Field required" in model.asked[1][2]["messages"][-1]["content"]


@pytest.mark.parametrize("written", ["", GOOD[:30], "<think>thinking on and on", None])
def test_an_answer_cut_off_at_the_limit_is_paid_once_and_names_the_setting(model, written, settings):  # O5
    settings.OPENAI_MAX_OUTPUT_TOKENS = 1234
    model.say(written, finish="length", usage={
        "prompt_tokens": 9, "completion_tokens": 1234, "completion_tokens_details": {"reasoning_tokens": 1200},
    })  # fmt: skip

    with pytest.raises(llm.LLMRefused, match="1234 tokens, 1200 of them for thinking: raise OPENAI_MAX_OUTPUT_TOKENS"):
        ask()
    assert len(model.asked) == 1
    assert model.asked[0][2]["max_completion_tokens"] == 1234


def test_a_second_answer_that_is_cut_off_names_the_setting_too(model):
    model.say("no json at all")
    model.say(GOOD[:30], finish="length")

    with pytest.raises(llm.LLMRefused, match="raise OPENAI_MAX_OUTPUT_TOKENS") as caught:
        ask()

    assert (caught.value.can_be_mended, len(caught.value.usages), len(model.asked)) == (True, 2, 2)


def test_an_answer_that_is_whole_although_the_limit_was_reached_is_taken(model):
    model.say(f"{GOOD} And further", finish="length")

    assert ask().parsed.summary == "Fine."


UNKNOWN_LIMIT = [
    (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"],
                       "msg": "Extra inputs are not permitted", "input": 4000}]}),
    (422, {"object": "error", "message": {"detail": [{"loc": ["body", "max_completion_tokens"],
                                                      "msg": "Extra inputs are not permitted"}]}}),
    (400, {"error": {"message": "Unrecognized request argument supplied: max_completion_tokens",
                     "type": "invalid_request_error", "param": None, "code": None}}),
    (400, {"object": "error", "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'max_completion_tokens'), "
                                         "'msg': 'Extra inputs are not permitted'}]", "code": 400}),
    (400, {"error": "unknown field max_completion_tokens"}),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), UNKNOWN_LIMIT, ids=["mistral", "mistral-2", "azure", "vllm", "plain"])
def test_a_server_that_knows_only_max_tokens_is_asked_with_it_and_remembered(model, status, body):  # O6
    model.answer(body, status)
    model.say(REPORT)
    ask()
    model.say(REPORT)

    ask()

    limits = [[key for key in asked if key.startswith("max_")] for _path, _headers, asked in model.asked]
    assert limits == [["max_completion_tokens"], ["max_tokens"], ["max_tokens"]]


@pytest.mark.parametrize("name", ["max_completion_tokens", "max_tokens"])
def test_the_settings_may_name_the_limit_and_then_nothing_else_is_tried(model, settings, name):
    settings.OPENAI_LIMIT_PARAMETER = name
    model.answer({"error": {"message": f"Unsupported parameter: '{name}'", "code": "unsupported_parameter"}}, 400)

    with pytest.raises(llm.LLMRefused, match="OPENAI_LIMIT_PARAMETER"):
        ask()
    assert [name in asked for _path, _headers, asked in model.asked] == [True]


@pytest.mark.later
@pytest.mark.parametrize(
    ("status", "body", "reason", "setting"),
    [
        # O7
        (400, {"error": {"message": "response_format json_schema not supported"}}, "not supported", "SCHEMA_MODE"),
        (400, {"error": {"message": "This response_format type is unavailable now"}}, "unavailable", "SCHEMA_MODE"),
        (400, {"error": {"message": "max_tokens is too large: 4000"}}, "too large", "MAX_OUTPUT_TOKENS"),
        (400, {"error": {"message": "too long", "code": "context_length_exceeded"}}, "too long", "OPENAI_MODEL"),
        (401, {"statusCode": 401, "message": "Access denied due to invalid key"}, "Access denied", "API_KEY"),
        (401, {"error": {"message": "Authentication Fails"}}, "Authentication Fails", "API_KEY"),
        (402, {"error": {"message": "Insufficient Balance", "code": "invalid_request_error"}}, "Balance", "BASE_URL"),
        (403, "Forbidden", "Forbidden", "API_KEY"),
        (404, {"error": {"code": "DeploymentNotFound", "message": "It does not exist."}}, "not exist", "OPENAI_MODEL"),
        (404, {"error": "model 'x' not found, try pulling it first"}, "pulling it first", "OPENAI_MODEL"),
        (404, {"object": "error", "message": "The model `x` does not exist.", "code": 404}, "`x`", "OPENAI_MODEL"),
        (404, {"detail": "Not Found"}, "Not Found", "BASE_URL"),
        (404, b"<html><head><title>x</title></head><body><h1>404 page</h1></body></html>", "404 page", "BASE_URL"),
        (405, {"detail": "Method Not Allowed"}, "Method Not Allowed", "BASE_URL"),
        (422, {"detail": [{"loc": ["body", "model"], "msg": "Field required"}]}, "body.model: Field", "OPENAI_MODEL"),
        (400, [{"error": {"code": 400, "message": "API key not valid", "status": "INVALID"}}], "API key not valid", ""),
        (400, {"error": {"message": ["a", "b"]}}, "a; b", ""),
        (400, {}, "400", ""),
        (400, b"", "400", ""),
        (400, {"error": {"error": {"error": {"error": {"message": "deep"}}}}}, "400", ""),
    ],
)  # fmt: skip
def test_a_refusal_is_a_sentence_that_names_the_setting_to_mend(model, settings, status, body, reason, setting):
    settings.OPENAI_LIMIT_PARAMETER = "max_completion_tokens"
    model.answer(body, status)

    with pytest.raises(llm.LLMRefused) as caught:
        ask()

    said = str(caught.value)
    assert reason in said
    assert setting in said
    assert "Error code" not in said
    assert "<" not in said


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": 7}, 7),  # O8
        ({"retry_after_ms": 2500}, 2.5),
        ({"retry_after_ms": 2500, "Retry_After": 3}, 2.5),
        ({"retry_after_ms": "soon", "Retry_After": 3}, 3),
        ({"Retry_After": "inf"}, None),
        ({"Retry_After": "nan"}, None),
        ({}, None),
    ],
)
def test_a_busy_server_says_how_long_to_wait(model, headers, seconds):
    model.answer({"error": {"message": "Slow down. See /account/billing"}}, 429, **headers)

    with pytest.raises(llm.LLMBusy) as caught:
        ask()
    assert caught.value.retry_after == seconds
    assert len(model.asked) == 1


def test_a_query_in_the_address_is_sent_along_and_azure_gets_its_header(model, settings):
    settings.OPENAI_BASE_URL = f"{model.url}/openai/deployments/d?api-version=2024-10-21"
    model.say(REPORT)

    ask()

    path, headers, _body = model.asked[0]
    assert path == "/v1/openai/deployments/d/chat/completions?api-version=2024-10-21"
    assert headers["api-key"] == settings.OPENAI_API_KEY


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 10**12, "completion_tokens": 5},  # O12
        {"prompt_tokens": 5, "completion_tokens": 10**400},
        {"prompt_tokens": -5, "completion_tokens": 5},
        {"prompt_tokens": float("nan"), "completion_tokens": 5},
        {"prompt_tokens": float("inf"), "completion_tokens": 5},
        {"prompt_tokens": "5", "completion_tokens": 5},
        {"prompt_tokens": True, "completion_tokens": 5},
        {"prompt_tokens": None},
        {},
        None,
        [],
        7,
    ],
    ids=lambda usage: str(usage)[:40],
)
def test_a_count_that_cannot_be_leaves_the_cost_unknown(model, usage):
    model.say(REPORT, usage=usage)

    (used,) = ask().usages

    assert used.cost_usd is None
    assert 0 <= used.input_tokens <= llm.MOST_TOKENS


@pytest.mark.parametrize(
    ("counts", "cost"),
    [
        ({"prompt_tokens": 1000, "completion_tokens": 100}, "0.00056"),
        ({"prompt_tokens": 1000.0, "completion_tokens": 100.0}, "0.00056"),
        (
            {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 10**9}},
            "0.00056",
        ),
        (
            {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 2000}},
            "0.00026",
        ),
        ({"prompt_tokens": 0, "completion_tokens": 0}, "0"),
        ({"prompt_tokens": llm.MOST_TOKENS, "completion_tokens": 0}, "4"),
    ],
)
def test_what_can_be_is_counted(model, counts, cost):
    model.say(REPORT, usage=counts)

    assert ask().usages[0].cost_usd == Decimal(cost)


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"[1]", b"", b"null", b"[" * 100_000, b'{"choices": [[]]}', b'{"choices": {}}']
)
def test_a_body_without_an_answer_is_booked_and_asked_again_later(model, body):
    model.answer(body)

    with pytest.raises(llm.LLMError) as caught:
        ask()
    assert type(caught.value) is llm.LLMError
    assert [usage.cost_usd for usage in caught.value.usages] == [None]


def test_a_body_without_end_is_cut_short(model):
    model.answer(b" " * (llm.MOST_BYTES + 10_000))

    with pytest.raises(llm.LLMError, match="too long") as caught:
        ask()
    assert len(caught.value.usages) == 1


@pytest.mark.parametrize("shape", [lambda text: text, lambda text: {"error": {"message": text}}, lambda text: [text]])
@pytest.mark.parametrize(("length", "kept"), [(399, 399), (400, 400), (401, 400)])
def test_a_reason_is_cut_where_a_row_has_no_more_room(shape, length, kept):
    assert refusals.reason_of(shape("Z" * length)) == "Z" * kept
