from django.db import migrations
from django.db.models import Count


def count(apps, schema_editor):
    """Begin the counts with the rows that are still kept, so that what Prometheus reads does not fall now."""
    model = {name: apps.get_model("jobs", name) for name in ("Fire", "AuditEntry", "JobRun", "Total")}
    fires = model["Fire"].objects.order_by().exclude(outcome="pending").values_list("entry_id", "outcome")
    acts = model["AuditEntry"].objects.order_by().values_list("action", "count")
    lost = model["JobRun"].objects.order_by().filter(outcome="lost")
    totals = {}

    def add(name, subject, outcome, number):
        totals[name, subject, outcome] = totals.get((name, subject, outcome), 0) + number

    for entry, outcome, number in fires.annotate(n=Count("pk")):
        add("fires", entry, outcome, number)
    for action, changed, number in acts.annotate(n=Count("pk")):
        add("actions", action, "done" if changed else "nothing", number)
    for queue, cause, number in lost.filter(is_poison=False).values_list("queue", "cause").annotate(n=Count("pk")):
        add("recovered", queue, cause.partition(":")[0], number)
    for queue, task, number in lost.filter(is_poison=True).values_list("queue", "task").annotate(n=Count("pk")):
        add("poisoned", queue, task, number)
    model["Total"].objects.bulk_create(
        model["Total"](name=name, subject=subject, outcome=outcome, count=number)
        for (name, subject, outcome), number in totals.items()
    )


class Migration(migrations.Migration):
    dependencies = [("jobs", "0011_add_totals")]

    operations = [migrations.RunPython(count, migrations.RunPython.noop)]
