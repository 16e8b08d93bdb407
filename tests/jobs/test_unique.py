"""Unique means the same call, as the function sees it, by whichever way it is asked for."""

import inspect
import itertools
from datetime import UTC, datetime, timedelta
from enum import Enum

import pytest
from django.core.exceptions import ValidationError

from amazon_pilot.jobs import apps, job
from amazon_pilot.jobs.core import queues, registry
from amazon_pilot.jobs.core.enqueue import payloads, unique_key
from amazon_pilot.jobs.core.registry import CallError, TaskNameError
from amazon_pilot.jobs.models import Fire, ScheduleEntry
from amazon_pilot.jobs.operate import changes
from amazon_pilot.jobs.operate import schedule as schedule_acts
from amazon_pilot.jobs.schedule import entries, fires, store

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def named():
    """Return a function that registers a unique task for this test alone."""
    before = dict(registry.TASKS)
    yield lambda function, name: job("default", name=name, unique=True)(function)
    registry.TASKS.clear()
    registry.TASKS.update(before)


def two(a, b=2, *, c=3, d=None):
    """Take two by place and two by name."""


def open_ended(a, *args, **kwargs):
    """Take anything."""


SAME = [
    ((1, 2), {}), ((1,), {}), ((), {"a": 1, "b": 2}), ((), {"b": 2, "a": 1}), ((1,), {"c": 3}),
    ((1, 2), {"d": None, "c": 3}), ((), {"d": None, "c": 3, "b": 2, "a": 1}),
]  # fmt: skip
OTHER = [((2, 1), {}), ((1, 3), {}), ((1,), {"c": 4}), ((1,), {"d": 0}), (("1",), {}), ((1,), {"d": False})]


def test_one_call_written_in_any_way_is_one_job(named):
    task = named(two, "tests.unique.two")
    ids = {task.enqueue(*args, **kwargs) for args, kwargs in SAME}

    assert len(ids) == 1
    assert queues.size("default") == 1


@pytest.mark.parametrize(("args", "kwargs"), OTHER)
def test_another_call_is_another_job(named, args, kwargs):
    task = named(two, "tests.unique.two")

    assert task.enqueue(1, 2) != task.enqueue(*args, **kwargs)


def test_any_order_of_any_keywords_is_one_job(named):
    task = named(open_ended, "tests.unique.open_ended")
    words = {"x": 1, "y": [1, {"k": 2}], "z": None}
    ids = {task.enqueue(0, 1, **dict(order)) for order in itertools.permutations(words.items())}

    assert len(ids) == 1
    assert task.enqueue(0, 1) not in ids
    assert task.enqueue(0, **words) not in ids
    assert task.enqueue(0, 1, kwargs={"x": 1}) not in ids


class Colour(Enum):
    RED = "red"


def with_defaults(a, b=[], c={1: {"y": 2, "x": 1}}, d=Colour.RED, e=object(), f=(1, 2), g=frozenset("ab")):  # noqa: B006, B008
    """Take what JSON carries in another form, or not at all."""


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((0, []), {}), ((0,), {"b": ()}), ((0,), {"c": {"1": {"x": 1, "y": 2}}}), ((0,), {"c": {1: {"y": 2, "x": 1}}}),
        ((0,), {"d": "red"}), ((0,), {"f": [1, 2]}), ((), {"f": (1, 2), "a": 0}),
    ],
)  # fmt: skip
def test_a_default_and_what_is_equal_to_it_are_one_call(named, args, kwargs):
    task = named(with_defaults, "tests.unique.with_defaults")

    assert task.enqueue(0) == task.enqueue(*args, **kwargs)


def test_a_default_that_json_cannot_carry_is_the_same_in_every_process(named):
    task = named(with_defaults, "tests.unique.with_defaults")
    data = payloads(task, [((0,), {})])[0]
    before = unique_key(task, data)
    another = task.signature.parameters["e"].replace(default=object())
    task.signature = inspect.Signature(list((task.signature.parameters | {"e": another}).values()))

    assert unique_key(task, data) == before


@pytest.mark.parametrize(
    ("one", "other"), [({"x": 1, "y": 2}, {"y": 2, "x": 1}), ([{"x": {"b": 0, "a": 1}}], [{"x": {"a": 1, "b": 0}}])]
)
def test_the_order_of_keys_within_an_argument_does_not_count(named, one, other):
    task = named(two, "tests.unique.two")

    assert task.enqueue(one) == task.enqueue(other) != task.enqueue([one])


@pytest.mark.parametrize("words", [((), {}), ((1, 2, 3), {}), ((1,), {"e": 1}), ((1,), {"a": 1})])
def test_a_call_that_does_not_fit_is_refused_before_anything_is_written(named, words):
    with pytest.raises(CallError, match="cannot be called so"):
        named(two, "tests.unique.two").enqueue(*words[0], **words[1])
    assert queues.size("default") == 0


@pytest.fixture
def entry(named):
    task = named(two, "tests.unique.two")
    made = ScheduleEntry.objects.create(
        name="e", cron="0 0 1 1 *", zone="UTC", task=task.name, args=[1], queue="default", overlap="allow",
        next_at=datetime.now(UTC) - timedelta(seconds=5),
    )  # fmt: skip
    return task, made


@pytest.mark.parametrize("status", ["queued", "started", "scheduled", "deferred"])
def test_a_fire_joins_the_job_that_waits_or_runs(entry, status):
    task, made = entry
    other = task.enqueue(1, b=2)
    queues.connection().hset(f"rq:job:{other}", "status", status)
    connection = store.connect()

    fires.fire_due(connection, lambda: datetime.now(UTC), "")
    entries.run_now(made, None)

    assert queues.size("default") == 1
    assert {fire.outcome for fire in Fire.objects.all()} == {Fire.Outcome.SKIPPED_OVERLAP}
    assert all(other in fire.note for fire in Fire.objects.all())
    assert schedule_acts.run_now(None, "e").count == 0


@pytest.mark.parametrize(("verbs", "joins"), [(["hold"], True), (["hold", "release"], True), (["cancel"], False)])
def test_a_fire_joins_a_job_that_an_operator_has_moved_and_none_that_he_ended(entry, verbs, joins):
    task, made = entry
    other = task.enqueue(b=2, a=1)
    assert all(changes.one(verb, other) for verb in verbs)

    fire = entries.run_now(made, None)

    assert (fire.outcome == Fire.Outcome.SKIPPED_OVERLAP) == joins
    assert (other in fire.note) == joins


@pytest.mark.parametrize(
    ("args", "kwargs", "joins"),
    [([], {"b": 2, "a": 1}, True), ([1], {"c": 3, "d": None}, True), ([1], {"d": 0}, False), ([1.5], {}, False)],
)
def test_a_fire_joins_the_same_call_however_its_entry_writes_it(entry, args, kwargs, joins):
    task, made = entry
    made.args = {"args": args, "kwargs": kwargs}
    made.save()
    task.enqueue(1)

    assert (entries.run_now(made, None).outcome == Fire.Outcome.SKIPPED_OVERLAP) == joins


@pytest.mark.parametrize("args", [[], [1, 2, 3], {"kwargs": {"e": 1}}, {"args": [1], "kwargs": {"a": 1}}])
def test_an_entry_whose_arguments_do_not_fit_is_refused_and_fires_as_an_error(entry, args):
    _task, made = entry
    made.args, made.overlap = args, "skip"
    with pytest.raises(ValidationError, match="cannot be called so"):
        made.full_clean()
    made.save()  # by what asks nobody

    fire = entries.run_now(made, None)

    assert fire.outcome == Fire.Outcome.ERROR
    assert "cannot be called so" in fire.note
    assert queues.size("default") == 0


def test_a_fire_that_joined_is_the_same_when_it_is_sent_again(entry):
    task, made = entry
    other = task.enqueue(1)
    fire = entries.run_now(made, None)
    queues.connection().hset(f"rq:job:{other}", "status", "finished")
    Fire.objects.update(outcome=Fire.Outcome.PENDING)
    fire.refresh_from_db()

    fires.send(store.connect(), [fire], datetime.now(UTC), "")

    assert queues.size("default") == 1
    assert Fire.objects.get().outcome == Fire.Outcome.SKIPPED_OVERLAP


def test_an_enqueue_joins_the_job_of_a_fire(entry):
    task, made = entry
    fire = entries.run_now(made, None)

    assert task.enqueue(a=1, b=2) == fire.job_id
    assert queues.size("default") == 1


def wrapped(function):
    """Decorate without functools.wraps."""

    def inner(*args):
        return function(*args)

    return inner


def a_factory(n):
    @job("default")
    def made():
        return n

    return made


def two_by_a_decorator():
    for function in (two, open_ended):
        job("default")(wrapped(function))


def two_by_a_factory():
    a_factory(1), a_factory(2)


def two_by_a_name():
    job("default", name="tests.unique.same")(two)
    job("default", name="tests.unique.same")(open_ended)


def in_a_module(code):
    """Return what declares two tasks as a module of this code does."""
    return lambda: exec(compile(code, "made.py", "exec"), {"__name__": "made", "job": job})


def in_a_loop():
    in_a_module("for n in (1, 2):\n @job('default')\n def made():\n  return n")()


def in_a_class_twice():
    in_a_module("for n in (1, 2):\n class Made:\n  @job('default')\n  def run():\n   return n")()


def by_lambdas():
    in_a_module("a, b = job('default')(lambda: 1), job('default')(lambda: 2)")()


def by_letters_of_one_form():
    in_a_module("@job('default')\ndef \ufb01():\n pass\n@job('default')\ndef fi():\n pass")()


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_function_that_yields_is_no_task(named, kind):
    with pytest.raises(TypeError, match="would run none of it"):
        in_a_module(f"@job('default')\n{kind} made():\n yield 1")()
    assert "made.made" not in registry.TASKS


def test_a_module_that_is_loaded_again_takes_its_names_again(named):
    code = "@job('default')\ndef made():\n pass"
    in_a_module(code)()
    in_a_module(code)()


@pytest.mark.parametrize(
    "declare",
    [
        two_by_a_decorator, two_by_a_factory, two_by_a_name, in_a_loop, in_a_class_twice, by_lambdas,
        by_letters_of_one_form,
    ],
)  # fmt: skip
def test_two_tasks_of_one_name_are_an_error_of_the_system_check(named, monkeypatch, declare):
    with pytest.raises(TaskNameError, match="Two tasks are called"):
        declare()
    monkeypatch.setattr(registry, "discover", declare)

    [error] = apps.check_queues(None)

    assert error.id == "jobs.E005"
    assert "Give one of them another name" in error.msg
