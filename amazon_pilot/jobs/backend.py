"""The engine behind Django's own Tasks interface (`django-tasks` on Django 5.2, the same names as Django 6.0's).

A function under `@task` is a registered task like one under `@job`: the same queues, worker, history and monitor. What
that interface lacks (retries, unique tasks, tags, timeouts of one task) is in `@job`.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from django.db import transaction
from django.utils import timezone
from django_tasks import TaskResult, TaskResultStatus
from django_tasks.backends.base import BaseTaskBackend
from django_tasks.base import Task as DjangoTask
from django_tasks.base import TaskContext, TaskError
from django_tasks.exceptions import TaskResultDoesNotExist
from django_tasks.signals import task_enqueued
from rq import get_current_job
from rq.exceptions import NoSuchJobError

from .core import enqueue, queues
from .core.registry import TASKS, JSONJob, Registered, register
from .models import JobRun
from .models.job_run import Outcome

ENDS = {"finished": TaskResultStatus.SUCCESSFUL, "failed": TaskResultStatus.FAILED, "stopped": TaskResultStatus.FAILED,
        "canceled": TaskResultStatus.FAILED}  # fmt: skip


class PilotTask(DjangoTask):
    """A task of Django's interface, known to the engine from its declaration on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.module_path not in TASKS or TASKS[self.module_path].function is not function_of(self):
            register(Registered(function_of(self), self.module_path, self.queue_name))
            DECLARED[self.module_path] = self


DECLARED: dict[str, PilotTask] = {}
Function = Callable[..., object]
_with_context: dict[Function, Function] = {}


def function_of(task: DjangoTask) -> Function:
    """Return what a worker calls: the task's function, with the context of the running job before its arguments if it
    takes one."""
    if not task.takes_context:
        return task.func
    if task.func not in _with_context:

        def call(*args: object, **kwargs: object) -> object:
            job = get_current_job()
            assert job is not None
            return task.func(TaskContext(task_result=task.get_backend().get_result(job.id)), *args, **kwargs)

        signature = inspect.signature(task.func)
        call.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
        _with_context[task.func] = call
    return _with_context[task.func]


class PilotBackend(BaseTaskBackend):
    """TASKS = {"default": {"BACKEND": "amazon_pilot.jobs.backend.PilotBackend", "QUEUES": ["critical", …]}}.

    A job is enqueued when the current transaction commits. Priorities are queues here, so there are none within one.
    """

    task_class = PilotTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = False

    def enqueue(self, task: DjangoTask, args: Sequence[object], kwargs: Mapping[str, object]) -> TaskResult:
        """Have a worker run a task, and return its result, which is not there yet.

        Raises InvalidTaskError for a task that this backend cannot run, CallError for arguments that its function does
        not take, and PayloadError for what JSON cannot carry.
        """
        self.validate_task(task)
        delay = (task.run_after or timezone.now()) - timezone.now()
        (job_id,) = enqueue.enqueue(TASKS[task.module_path], [(args, kwargs)], delay=delay, queue=task.queue_name)
        result = result_of(
            self.alias, task, job_id, TaskResultStatus.READY, args, kwargs, enqueued_at=timezone.now(), runs=[]
        )
        transaction.on_commit(partial(task_enqueued.send, type(self), task_result=result))
        return result

    def get_result(self, result_id: str) -> TaskResult:
        """Return what is known of a job, from Redis or, once that has forgotten it, from the history.

        Raises TaskResultDoesNotExist for a job that neither knows, or that is none of Django's tasks.
        """
        runs = list(JobRun.objects.filter(job_id=result_id).order_by("attempt", "started_at"))
        try:
            job = JSONJob.fetch(result_id, connection=queues.connection())
        except NoSuchJobError:
            job = None
        name = str(job.func_name) if job else runs[-1].task if runs else ""
        if name not in DECLARED:
            raise TaskResultDoesNotExist(result_id)
        if job is None:
            last = runs[-1]
            status = TaskResultStatus.SUCCESSFUL if last.outcome == Outcome.SUCCEEDED else TaskResultStatus.FAILED
            found = (last.args, last.kwargs, last.enqueued_at, last.result)
        else:
            state = str(job.get_status(refresh=False).value)
            status = ENDS.get(state, TaskResultStatus.RUNNING if state == "started" else TaskResultStatus.READY)
            found = (list(job.args), job.kwargs, aware(job.enqueued_at), job.return_value())
        args, kwargs, enqueued_at, value = found
        result = result_of(
            self.alias, DECLARED[name], result_id, status, args, kwargs, enqueued_at=enqueued_at, runs=runs
        )
        if job is not None and status == TaskResultStatus.RUNNING and not (runs and runs[-1].ended_at is None):
            result.worker_ids.append(str(job.worker_name or ""))  # the row of this attempt is on its way
        object.__setattr__(result, "_return_value", value if status == TaskResultStatus.SUCCESSFUL else None)
        return result


def result_of(
    backend: str, task: DjangoTask, job_id: str, status: TaskResultStatus, args: Sequence[object],
    kwargs: Mapping[str, object], *, enqueued_at: datetime | None, runs: list[JobRun],
) -> TaskResult:  # fmt: skip
    """Return Django's view of a job by its runs, the first attempt first."""
    is_over = status in (TaskResultStatus.SUCCESSFUL, TaskResultStatus.FAILED)
    failed = [run for run in runs if run.exception]
    return TaskResult(
        task=task, id=job_id, status=status, enqueued_at=enqueued_at, backend=backend, args=list(args),
        kwargs=dict(kwargs), started_at=runs[0].started_at if runs else None,
        last_attempted_at=runs[-1].started_at if runs else None,
        finished_at=runs[-1].ended_at if runs and is_over else None,
        errors=[TaskError(exception_class_path=path_of(run.exception), traceback=run.traceback) for run in failed],
        worker_ids=[run.worker for run in runs],
    )  # fmt: skip


def path_of(exception: str) -> str:
    """Return an exception's path as Python imports it; the history leaves out the module of those that are built in."""
    return exception if "." in exception else f"builtins.{exception}"


def aware(moment: datetime | None) -> datetime | None:
    """Return a time of rq, which is UTC without saying so."""
    return moment if moment is None or timezone.is_aware(moment) else moment.replace(tzinfo=UTC)
