import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("jobs", "0018_tell_why_nothing_fired"),
    ]

    operations = [
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("rule", models.CharField(max_length=40, verbose_name="rule")),
                ("subject", models.CharField(blank=True, max_length=120, verbose_name="of what")),
                ("severity", models.CharField(choices=[("critical", "critical"), ("warning", "warning")], max_length=10, verbose_name="severity")),
                ("text", models.TextField(verbose_name="text")),
                ("since", models.DateTimeField(verbose_name="since")),
                ("fired_at", models.DateTimeField(null=True, verbose_name="fires since")),
                ("calm_since", models.DateTimeField(null=True, verbose_name="well again since")),
                ("resolved_at", models.DateTimeField(null=True, verbose_name="over since")),
                ("told_at", models.DateTimeField(null=True, verbose_name="told at")),
                ("end_told_at", models.DateTimeField(null=True, verbose_name="end told at")),
            ],
            options={"verbose_name": "alert", "verbose_name_plural": "alerts", "ordering": ["-since"]},
        ),
        migrations.CreateModel(
            name="RuleChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("rule", models.CharField(max_length=40, unique=True, verbose_name="rule")),
                ("is_on", models.BooleanField(default=True, verbose_name="on")),
                ("limit", models.FloatField(null=True, verbose_name="limit")),
                ("hold_seconds", models.PositiveIntegerField(null=True, verbose_name="for, seconds")),
                ("silent_until", models.DateTimeField(null=True, verbose_name="silent until")),
                ("reason", models.TextField(blank=True, verbose_name="reason")),
                ("by", models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="by")),
            ],
            options={"verbose_name": "change of an alert rule", "verbose_name_plural": "changes of alert rules"},
        ),
        migrations.AddIndex(model_name="alert", index=models.Index(fields=["-since"], name="alerts_newest_first")),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(
                condition=models.Q(("told_at", None), ("end_told_at", None), _connector="OR"),
                fields=["since"],
                name="alerts_to_tell",
            ),
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.UniqueConstraint(
                condition=models.Q(("resolved_at", None)), fields=("rule", "subject"), name="one_open_alert_per_subject"
            ),
        ),
    ]
