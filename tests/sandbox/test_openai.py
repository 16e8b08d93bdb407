"""The played OpenAI, asked by the unmodified package: both endpoints, usage, and reports made from the facts."""

import json

import openai
import pytest
from django import conf
from pydantic import BaseModel

from amazon_pilot.sandbox import writer
from analysis.reports import CompetitorReport, OptimizationReport


def sheet(title, price, rating, bullets=(), images=3, **more):
    facts = [
        {"id": "F1", "subject": "own", "name": "title", "value": title},
        {"id": "F2", "subject": "own", "name": "price", "value": price},
        {"id": "F3", "subject": "own", "name": "rating", "value": rating},
        {"id": "F4", "subject": "own", "name": "images", "value": images},
        *({"id": f"F{5 + n}", "subject": "own", "name": "bullet", "value": text} for n, text in enumerate(bullets)),
    ]
    return {"task": "optimization_analysis", "facts": facts}


LAMP = sheet("BEST SELLER!!! Lamp, Desk Lamp", "28.49 USD", "4.1", ["Bright."])
FLASK = sheet("Norrvik Insulated Bottle", "27.95 USD", "4.7", ["Cold for 24 hours.", "Leakproof."], 7)


class Poem(BaseModel):
    lines: list[str]


@pytest.fixture
def client(sandbox):
    return openai.OpenAI(
        api_key=conf.settings.SANDBOX_TOKEN, base_url=f"{sandbox.url}/sandbox/openai/v1", max_retries=0
    )


def ask(client, facts, schema=OptimizationReport):
    messages = [{"role": "system", "content": "Rules"}, {"role": "user", "content": json.dumps(facts)}]
    return client.chat.completions.parse(model="m", messages=messages, response_format=schema)


def test_a_completion_is_a_report_with_usage_limits_and_a_request_id(client):
    completion = ask(client, LAMP)

    usage = completion.usage
    assert isinstance(completion.choices[0].message.parsed, OptimizationReport)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert completion._request_id.startswith("req_")


def test_the_responses_endpoint_writes_the_same_report(client):
    chat = ask(client, LAMP).choices[0].message.parsed

    answer = client.responses.parse(
        model="m", instructions="Rules", input=json.dumps(LAMP), text_format=OptimizationReport, store=False
    )

    assert answer.output_parsed == chat
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


def test_the_responses_endpoint_can_be_cut_off_and_refuse(client, sandbox):
    sandbox.openai.spoil_next("refused")
    refused = client.responses.parse(model="m", instructions="", input=json.dumps(LAMP), text_format=OptimizationReport)
    sandbox.openai.spoil_next("truncated")
    raw = client.responses.with_raw_response.parse(
        model="m", instructions="", input=json.dumps(LAMP), text_format=OptimizationReport
    )

    assert refused.output_parsed is None
    assert refused.output[0].content[0].type == "refusal"
    assert raw.http_response.json()["incomplete_details"] == {"reason": "max_output_tokens"}


def test_different_products_give_different_suggestions(client):
    lamp, flask = (ask(client, facts).choices[0].message.parsed for facts in (LAMP, FLASK))

    titles = [{row.title for row in report.suggestions} for report in (lamp, flask)]
    assert titles[0] != titles[1]
    assert lamp.summary != flask.summary


def test_suggestions_cite_sent_facts_and_stay_within_bounds():
    for facts in (LAMP, FLASK):
        report = OptimizationReport(**writer.optimization_report(writer.read_facts(facts)))
        ids = {fact["id"] for fact in facts["facts"]}
        prices = [row.proposed_price for row in report.suggestions if row.proposed_price]

        assert all(row.evidence and set(row.evidence) <= ids for row in report.suggestions)
        assert [row.impact_score for row in report.suggestions] == sorted(
            (row.impact_score for row in report.suggestions), reverse=True
        )
        assert all(0 <= row.impact_score <= 100 for row in report.suggestions)
        assert all(20 < float(price) < 32 for price in prices)
        assert prices


def test_a_yen_price_stays_without_decimals():
    report = writer.optimization_report(writer.read_facts(sheet("ライト", "2980 JPY", "4.3")))

    assert [row["proposed_price"] for row in report["suggestions"] if row["proposed_price"]] == ["2831"]


def test_a_bad_title_is_cleaned_of_what_the_rules_forbid():
    report = writer.optimization_report(writer.read_facts(LAMP))

    (title,) = [row["proposed_text"] for row in report["suggestions"] if row["category"] == "title"]
    assert title == "Lamp, Desk"


def test_facts_of_another_shape_still_give_a_report_that_fits():
    for odd in ({}, {"facts": None}, {"facts": [None, {"id": 3}, {"id": "F1"}]}, []):
        CompetitorReport(**writer.competitor_report(writer.read_facts(odd)))
        OptimizationReport(**writer.optimization_report(writer.read_facts(odd)))


def test_a_schema_that_is_not_the_products_is_a_bad_request(client):
    with pytest.raises(openai.BadRequestError):
        ask(client, LAMP, Poem)


def test_a_wrong_key_is_rejected(sandbox):
    stranger = openai.OpenAI(api_key="wrong", base_url=f"{sandbox.url}/sandbox/openai/v1", max_retries=0)

    with pytest.raises(openai.AuthenticationError):
        ask(stranger, LAMP)
