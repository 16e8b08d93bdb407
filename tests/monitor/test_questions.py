"""The query box: what a text is read into, at its edges, and which jobs of Redis hold what is asked for."""

import json
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from rq.utils import utcformat

from amazon_pilot.jobs.core.fields import SHOWN
from amazon_pilot.jobs.inspect.grammar import DEEPEST, LONGEST, And, Not, Or, QueryError, Reader, Term
from amazon_pilot.jobs.inspect.query import MOST_ARMS, parse
from amazon_pilot.jobs.inspect.redis_jobs import LiveJob

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)


def live(args, kwargs, **fields):
    """A job as a script tells it; what is not said of it is empty."""
    words = dict.fromkeys(SHOWN, "") | fields
    words["data"] = json.dumps(["products.tasks.update_product", None, args, kwargs])
    return LiveJob("queued", "low", b"job-1", b"", [words[name].encode() for name in SHOWN])


def compressed(job):
    """The same job as one whose payload was long."""
    values = [zlib.compress(value) if name == "data" else value for name, value in zip(SHOWN, job._values, strict=True)]
    return LiveJob(job.state, job.queue, job.id.encode(), b"", values)


JOB = live(
    [7, "B0LAMP0001", ["x", "y"]], {"site": {"code": "us"}, "flags": [True, None], "0": "zero"}, attempt="2",
    enqueued_at=utcformat(AT), started_at=utcformat(AT + timedelta(seconds=90)), worker_name="w1.host",
    tags="paid,night", about="a:1,b:2",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        *(("attempts" + sign, is_found) for sign, is_found in
          ((":2", True), (":1", False), (":3", False), (">1", True), (">2", False), ("<3", True), ("<2", False),
           (">=2", True), (">=3", False), ("<=2", True), ("<=1", False))),
        *(("wait" + sign, is_found) for sign, is_found in
          ((":90", True), (":1.5m", True), (">89", True), (">90", False), ("<91s", True), ("<90s", False),
           (">=90", True), (">=91", False), ("<=90", True), ("<=89", False))),
        *((f"{field}:2026-06-01T{time}", is_found) for field, time, is_found in
          (("since", "12:00:00Z", True), ("since", "12:00:01Z", False), ("since", "11:59:59Z", True),
           ("until", "12:00:00Z", False), ("until", "12:00:01Z", True), ("until", "11:59:59Z", False))),
        ("arg.0:7", True), ("arg.0:8", False), ("arg.1:B0LAMP0001", True), ("arg.1:B0LAMP", False),
        ("arg.2.0:x", True), ("arg.2.1:y", True), ("arg.2.2:y", False), ("arg.3:7", False), ("arg.2.x:y", False),
        ("arg.site.code:us", True), ("arg.site.code:de", False), ("arg.site.0:us", False), ("arg.other:us", False),
        ("arg.flags.0:true", True), ("arg.flags.0:false", False), ("arg.0.0:7", False),
        ("arg:lamp", True), ('arg:"lamp 7"', True), ('arg:"lamp 8"', False), ("LAMP", True), ("kettle", False),
        ("task:update", True), ("task:Update", False), ("queue:low", True), ("queue:lo", False), ("id:job-1", True),
        ("id:job-", False), ("worker:w1", True), ("worker:host", False), ("tag:paid", True), ("tag:pai", False),
        ("tag:night", True), ("about:a:1", True), ("about:a:2", False),
        ("NOT queue:low", False), ("-queue:high", True), ("queue:low task:other", False),
        ("queue:low task:update", True),
        ("queue:high OR task:update", True), ("queue:high OR task:other", False), ("", True),
        ("queue:high task:update OR tag:paid", True), ("queue:high (task:update OR tag:paid)", False),
        ("outcome:failed", False), ("error:lamp", False), ("duration>0", False), ("cause:x", False),
    ],
)  # fmt: skip
def test_a_job_of_redis_holds_what_is_asked_for(text, is_found, db):
    assert parse(text).matches(JOB) is is_found
    assert parse(text).matches(compressed(JOB)) is is_found


@pytest.mark.parametrize("text", ["arg.0:Ärger", "arg.0:ärger OR x", "arg.1:1.5", "arg.2:true", "ärger", "arg:1.5"])
def test_a_word_is_found_however_json_writes_it(text, db):
    job = live(["Ärger" if "Ä" in text else "ärger", 1.5, True], {})

    assert parse(text).matches(job) is True


def test_of_a_job_that_nobody_dated_no_time_is_told():
    job = live([], {})

    found = [parse(text).matches(job) for text in ("since:1h", "until:1h", "wait>=0", "wait<1h")]
    assert found == [False] * 4


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("1", 1), ("1.5s", 1.5), ("10m", 600), ("2min", 120), ("2h", 7200), ("7d", 604_800),
     ("1w", 604_800), ("0", 0), ("999999999999s", 999_999_999_999)],
)  # fmt: skip
def test_a_span_is_read_in_seconds(text, seconds):
    (term,) = parse(f"duration:{text}").rest
    assert isinstance(term, Term)
    assert term.value == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "problem", "at"),
    [
        ("attempts:1234567", "no", 1), ("attempts:1.5", "whole", 1), ("duration:1y", "span", 1),
        ("wait:1234567890123", "span", 1), ("wait:1.1234567890", "span", 1),
        ("a state:nowhere", "no state", 3), ("a b outcome:odd", "no outcome", 5), ("colour:red", "no field", 1),
        ("task.0:x", "no field", 1), ("a task>3", "cannot be compared", 3), ("task:", "wants a value", 1),
        *((f"a arg.{path}:x", "wants a place", 3) for path in ("1a", "1234567", "a..b", "a.")),
        ("since:9001-01-01", "no time", 1), ("until:1969-12-31", "no time", 1), ("since:2026-02-30", "no time", 1),
        ("since:99999999d", "too long ago", 1), ("since:60y", "no time", 1), ("a since:3000w", "too long ago", 3),
        ("a OR", "missing", 5), ("OR a", "missing", 1), ("a AND OR b", "missing", 7), ("NOT", "missing", 4),
        ("a (b", "not closed", 3), ("a b)", "closes nothing", 4), ("()", "missing", 2),
        ("a  )  b", "closes nothing", 4),
        ("x" * (LONGEST + 1), "longer", LONGEST + 1),
        ("(" * DEEPEST + "a" + ")" * DEEPEST, "nested too deeply", DEEPEST + 1),
        ("NOT " * DEEPEST + "a", "nested too deeply", 4 * DEEPEST + 1),
    ],
)  # fmt: skip
def test_what_is_no_question_is_refused_at_its_place(text, problem, at):
    with pytest.raises(QueryError, match=problem) as refusal:
        parse(text)

    assert f"(position {at})" in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    [
        "x" * LONGEST, "(" * (DEEPEST - 1) + "a" + ")" * (DEEPEST - 1), "-" * (DEEPEST - 1) + "a", "attempts:999999",
        "since:1970-01-02", "until:9000-12-30", "since:2900w", "NOT (a OR b)", "a AND b", "arg.0.name:x", "(a)(b)",
    ],
)  # fmt: skip
def test_what_lies_just_within_the_bounds_is_a_question(text):
    assert parse(text).rest


def test_or_binds_less_than_and_and_not_more():
    def word(text, at):
        return Term("", ":", text, at)

    read = Reader("a NOT b OR -c (d OR e)").read()

    assert read == Or(
        (And((word("a", 0), Not(word("b", 6)))), And((Not(word("c", 12)), Or((word("d", 15), word("e", 20))))))
    )
    assert Reader("  ").read() == And(())
    assert Reader("(a)").read() == word("a", 1)
    assert Reader('"a \\" OR b"').read() == word('a " OR b', 0)


@pytest.mark.parametrize(
    ("text", "states", "queues", "rest"),
    [
        ("state:queued", {"queued"}, set(), 0),
        ("state:queued OR state:held", {"queued", "held"}, set(), 0),
        ("(state:queued OR state:held) state:held", {"held"}, set(), 0),
        ("queue:low queue:high", set(), set(), 2),
        ("(queue:low OR queue:high) queue:low", set(), {"low"}, 2),
        ("queue:low OR task:a", set(), set(), 1),
        ("state:queued queue:low a", {"queued"}, {"low"}, 2),
    ],
)
def test_states_and_queues_that_hold_for_the_whole_are_known(text, states, queues, rest):
    query = parse(text)

    assert (query.states, query.queues, len(query.rest)) == (states, queues, rest)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("queue:low", 1),
        ("queue:low OR queue:high", 2),
        ("queue:a OR queue:b OR queue:c", 1),  # one index answers all of it at once
        ("arg:a OR queue:b OR tag:c", 3),
        ("NOT (arg:a OR tag:b)", 1),
        ("NOT (arg:a tag:b)", 2),
        ("(arg:a OR tag:b) (arg:c OR tag:d)", 4),
        (" OR ".join(f"task:t{n}" for n in range(MOST_ARMS)), MOST_ARMS),
        (" OR ".join(f"task:t{n}" for n in range(MOST_ARMS + 1)), 1),
    ],
)
def test_alternatives_are_asked_one_by_one_as_long_as_they_are_few(text, number):
    assert len(parse(text).arms()) == number
