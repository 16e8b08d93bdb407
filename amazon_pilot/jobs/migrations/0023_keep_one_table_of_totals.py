"""Ended runs are counted among the other totals; the table that they had goes.

Code of before cannot count in this table: it leaves the minutes as they are, and what follows counts them.
"""

from django.db import migrations, models

AT_ONCE = 1000


def move(apps, schema_editor):
    """Carry the totals over, the oldest first: those come first in the metrics, too."""
    old, new = apps.get_model("jobs", "TallyTotal"), apps.get_model("jobs", "Total")
    rows = old.objects.order_by("pk").values_list("queue", "task", "outcome", "count")
    new.objects.bulk_create(
        (new(name="ended", subject=task, outcome=f"{queue}:{outcome}", count=n) for queue, task, outcome, n in rows),
        batch_size=AT_ONCE,
    )


def move_back(apps, schema_editor):
    old, new = apps.get_model("jobs", "TallyTotal"), apps.get_model("jobs", "Total")
    ended = new.objects.filter(name="ended").order_by("pk")
    rows = [(task, *words.rpartition(":"), n) for task, words, n in ended.values_list("subject", "outcome", "count")]
    old.objects.bulk_create(
        (old(queue=queue, task=task, outcome=outcome, count=n) for task, queue, _colon, outcome, n in rows),
        batch_size=AT_ONCE,
    )
    ended.delete()


class Migration(migrations.Migration):
    dependencies = [("jobs", "0022_give_scripts_tokens")]

    operations = [
        migrations.AlterField(
            model_name="total",
            name="name",
            field=models.CharField(
                choices=[
                    ("ended", "ended runs by task, queue and outcome"), ("fires", "fires by entry and outcome"),
                    ("actions", "acts by verb and result"), ("recovered", "lost runs by queue and cause"),
                    ("poisoned", "jobs put aside by queue and task"), ("wait", "waits by task and bucket"),
                    ("run", "durations by task and bucket"),
                ],
                max_length=20,
                verbose_name="name",
            ),
        ),
        migrations.RunPython(move, move_back),
        migrations.DeleteModel("TallyTotal"),
    ]
