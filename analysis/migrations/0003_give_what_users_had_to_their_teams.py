import django.db.models.deletion
from django.db import migrations, models

OWNED = {
    "comparison": {"related_name": "comparisons", "on_delete": django.db.models.deletion.CASCADE},
    "report": {"related_name": "reports", "on_delete": django.db.models.deletion.CASCADE},
    "modelcall": {"related_name": "+", "on_delete": django.db.models.deletion.SET_NULL, "null": True},
}
OPEN = models.Q(("kind", "optimization"), ("state__in", ("pending", "processing")))


def owner(words):
    return models.ForeignKey(to="accounts.team", verbose_name="team", **words)


class Migration(migrations.Migration):
    """A user's first team has the user's key, so no row is written anew."""

    dependencies = [
        ("accounts", "0003_give_each_user_a_team"),
        ("analysis", "0002_hold_budgets_in_rows_and_use_the_databases_clock"),
    ]
    operations = [
        migrations.RemoveConstraint("report", "report_open_once_per_product"),
        migrations.RemoveIndex("comparison", "comparison_of_a_user"),
        migrations.RemoveIndex("report", "report_of_a_user"),
        migrations.RemoveIndex("modelcall", "model_call_spent_today"),
        *(migrations.RenameField(model, "user", "team") for model in OWNED),
        *(migrations.AlterField(model, "team", owner(words)) for model, words in OWNED.items()),
        migrations.AddConstraint(
            "report",
            models.UniqueConstraint(condition=OPEN, fields=("team", "product"), name="report_open_once_per_product"),
        ),
        migrations.AddIndex("comparison", models.Index(fields=["team", "-created_at"], name="comparison_of_a_team")),
        migrations.AddIndex("report", models.Index(fields=["team", "kind", "-created_at"], name="report_of_a_team")),
        migrations.AddIndex(
            "modelcall", models.Index(fields=["team", "-created_at"], name="model_call_spent_today")
        ),
    ]
