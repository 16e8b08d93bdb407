"""Make the tables as the first seven migrations leave them."""

import django.db.models.deletion
import django.db.models.functions.datetime
import notifications.models
import products.keyset
import uuid
from django.conf import settings
from django.db import migrations, models

from amazon_pilot.postgresql.steps import Together


def key():
    return models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


class Migration(migrations.Migration):

    initial = True
    replaces = [
        ("notifications", "0001_initial"),
        ("notifications", "0002_say_unknown_and_use_the_databases_clock"),
        ("notifications", "0003_find_the_newest_by_an_index"),
        ("notifications", "0004_add_the_team_of_each_channel"),
        ("notifications", "0005_give_channels_to_teams"),
        ("notifications", "0006_hold_channels_once_per_team"),
        ("notifications", "0007_let_the_database_say_when_one_was_written"),
    ]
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("accounts", "0003_give_each_user_a_team"),
        ("analysis", "0001_initial"),
        ("products", "0001_initial"),
    ]

    operations = [
        Together([
            migrations.CreateModel(
                name="Channel",
                fields=[
                    ("id", key()),
                    ("team", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name="channels", to="accounts.team", verbose_name="team")),
                    ("user", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="channels", to=settings.AUTH_USER_MODEL, verbose_name="added by")),
                    ("kind", models.CharField(choices=[("app", "on these pages"), ("email", "e-mail"), ("webhook", "webhook")], max_length=10, verbose_name="kind")),
                    ("address", models.CharField(blank=True, max_length=500, verbose_name="address")),
                    ("secret", models.CharField(default=notifications.models.new_secret, editable=False, max_length=64)),
                    ("least_severity", models.CharField(choices=[("1_info", "info"), ("2_warning", "warning"), ("3_critical", "critical")], default="1_info", max_length=10, verbose_name="tell from")),
                    ("paused", models.BooleanField(default=False, verbose_name="paused")),
                    ("failures", models.PositiveSmallIntegerField(default=0, editable=False, verbose_name="refusals in a row")),
                    ("disabled_reason", models.CharField(blank=True, max_length=300, verbose_name="disabled because")),
                    ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="added at")),
                ],
                options={
                    "verbose_name": "channel", "verbose_name_plural": "channels",
                    "constraints": [
                        models.UniqueConstraint(fields=("team", "kind", "address"), name="channel_once_per_address"),
                        models.UniqueConstraint(condition=models.Q(("team", None)), fields=("user",), name="channel_once_per_operator"),
                        models.CheckConstraint(condition=models.Q(("kind", "app"), models.Q(("address", ""), _negated=True), _connector="OR"), name="channel_has_an_address"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Notification",
                fields=[
                    ("id", key()),
                    ("key", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                    ("channel", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="notifications", to="notifications.channel", verbose_name="channel")),
                    ("change", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name="notifications", to="products.change", verbose_name="change")),
                    ("report", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name="notifications", to="analysis.report", verbose_name="report")),
                    ("subject", models.CharField(max_length=200, verbose_name="subject")),
                    ("body", models.TextField(blank=True, verbose_name="text")),
                    ("path", models.CharField(max_length=200, verbose_name="page")),
                    ("state", models.CharField(choices=[("pending", "waiting"), ("sending", "being sent"), ("sent", "sent"), ("failed", "failed"), ("unknown", "unknown")], default="pending", max_length=10, verbose_name="state")),
                    ("attempts", models.PositiveSmallIntegerField(default=0, verbose_name="attempts")),
                    ("error", models.CharField(blank=True, max_length=300, verbose_name="error")),
                    ("created_at", models.DateTimeField(db_default=products.keyset.NowAsKey(), editable=False, verbose_name="written at")),
                    ("next_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name="next attempt at")),
                    ("sent_at", models.DateTimeField(blank=True, null=True, verbose_name="sent at")),
                    ("read_at", models.DateTimeField(blank=True, null=True, verbose_name="read at")),
                ],
                options={
                    "verbose_name": "notification", "verbose_name_plural": "notifications",
                    "ordering": ["-created_at", "-pk"],
                    "indexes": [
                        models.Index(fields=["state", "next_at"], name="notification_due"),
                        models.Index(fields=["channel", "read_at", "-created_at"], name="notification_unread"),
                        models.Index(fields=["channel", "-created_at", "-id"], name="notification_newest_first"),
                    ],
                    "constraints": [
                        models.UniqueConstraint(fields=("change", "channel"), name="notification_once_per_change_and_channel"),
                        models.UniqueConstraint(fields=("report", "channel"), name="notification_once_per_report_and_channel"),
                    ],
                },
            ),
        ]),
    ]
