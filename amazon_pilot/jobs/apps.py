"""The engine room: background work as such. It knows no product."""

from collections.abc import Sequence

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

MOST_QUEUES = 255  # a worker names a queue to Redis by one byte
TAG = "jobs"  # the checks that workers and schedulers make, which load no page


class JobsConfig(AppConfig):
    name = "amazon_pilot.jobs"
    label = "jobs"
    verbose_name = _("Jobs")

    def ready(self) -> None:
        from .history.retention import check_retention  # their models are there only now
        from .operate.roles import make_permissions
        from .schedule.checks import check_schedule

        post_migrate.connect(make_permissions, self)
        checks.register(check_queues, TAG)
        checks.register(check_schedule, TAG)
        checks.register(check_retention, TAG)


def check_queues(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[checks.CheckMessage]:
    """Every queue has a weight, every weight a queue, and every task a queue that a worker serves."""
    from .core import registry

    try:
        registry.discover()
    except registry.TaskNameError as error:
        return [checks.Error(str(error), id="jobs.E005")]
    errors: list[checks.CheckMessage] = [
        checks.Error(f"The queue {name} has no whole weight above 0.", hint="Add it to QUEUE_WEIGHTS.", id="jobs.E001")
        for name in settings.RQ_QUEUES
        if not isinstance(settings.QUEUE_WEIGHTS.get(name), int) or settings.QUEUE_WEIGHTS[name] < 1
    ]
    if len(settings.QUEUE_WEIGHTS) > MOST_QUEUES:
        errors.append(checks.Error(f"At most {MOST_QUEUES} queues can be weighed.", id="jobs.E003"))
    errors += [
        checks.Error(f"The task {task.name} is for the queue {task.queue}, which is in no setting.", id="jobs.E002")
        for task in registry.TASKS.values()
        if task.queue not in settings.QUEUE_WEIGHTS
    ]
    return errors
