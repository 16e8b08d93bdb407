"""The door to OpenAI: every answer is checked, every failure has its name, and what was paid is never lost."""

from typing import Any

import pytest

from analysis import llm
from analysis.llm import CompetitorReport

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
