"""Make the tables as the first four migrations leave them."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

from amazon_pilot.postgresql.steps import Together


def key():
    return models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


class Migration(migrations.Migration):

    initial = True
    replaces = [
        ("analysis", "0001_initial"),
        ("analysis", "0002_hold_budgets_in_rows_and_use_the_databases_clock"),
        ("analysis", "0003_give_what_users_had_to_their_teams"),
        ("analysis", "0004_note_when_a_report_asked_for_fresh_data"),
    ]
    dependencies = [
        ("accounts", "0003_give_each_user_a_team"),
        ("products", "0001_initial"),
    ]

    operations = [
        Together([
            migrations.CreateModel(
                name="Spending",
                fields=[
                    ("id", key()),
                    ("key", models.CharField(max_length=60, unique=True)),
                    ("billionths_usd", models.BigIntegerField(default=0)),
                    ("begun_at", models.DateTimeField()),
                ],
                options={
                    "verbose_name": "spending", "verbose_name_plural": "spending",
                },
            ),
            migrations.CreateModel(
                name="Comparison",
                fields=[
                    ("id", key()),
                    ("team", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="comparisons", to="accounts.team", verbose_name="team")),
                    ("product", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="comparisons", to="products.product", verbose_name="own product")),
                    ("name", models.CharField(blank=True, max_length=100, verbose_name="name")),
                    ("paused", models.BooleanField(default=False, verbose_name="paused")),
                    ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="made at")),
                ],
                options={
                    "verbose_name": "comparison", "verbose_name_plural": "comparisons",
                    "ordering": ["-created_at"],
                    "indexes": [
                        models.Index(fields=["team", "-created_at"], name="comparison_of_a_team"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Competitor",
                fields=[
                    ("id", key()),
                    ("comparison", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="members", to="analysis.comparison")),
                    ("product", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="products.product", verbose_name="product")),
                    ("position", models.PositiveSmallIntegerField(verbose_name="position")),
                ],
                options={
                    "verbose_name": "competitor", "verbose_name_plural": "competitors",
                    "ordering": ["position"],
                    "constraints": [
                        models.UniqueConstraint(fields=("comparison", "product"), name="competitor_once_per_comparison"),
                        models.UniqueConstraint(fields=("comparison", "position"), name="competitor_has_its_own_place"),
                        models.CheckConstraint(condition=models.Q(("position__lt", 5)), name="competitors_are_at_most_five"),
                    ],
                },
            ),
            migrations.AddField(
                model_name="comparison",
                name="competitors",
                field=models.ManyToManyField(related_name="compared_in", through="analysis.Competitor", to="products.product", verbose_name="competitors"),
            ),
            migrations.CreateModel(
                name="Report",
                fields=[
                    ("id", key()),
                    ("kind", models.CharField(choices=[("competitors", "competitor analysis"), ("optimization", "listing suggestions")], max_length=12, verbose_name="kind")),
                    ("team", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="reports", to="accounts.team", verbose_name="team")),
                    ("product", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="reports", to="products.product", verbose_name="product")),
                    ("comparison", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name="reports", to="analysis.comparison", verbose_name="comparison")),
                    ("version", models.PositiveIntegerField(verbose_name="version")),
                    ("state", models.CharField(choices=[("pending", "waiting"), ("processing", "being written"), ("completed", "completed"), ("failed", "failed")], default="pending", max_length=10, verbose_name="state")),
                    ("forced", models.BooleanField(default=False, verbose_name="asked anew")),
                    ("attempts", models.PositiveSmallIntegerField(default=0, verbose_name="attempts")),
                    ("next_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name="next attempt at")),
                    ("fetch_asked_at", models.DateTimeField(blank=True, editable=False, null=True, verbose_name="fresh data asked for at")),
                    ("facts", models.JSONField(blank=True, default=dict, verbose_name="facts sent")),
                    ("numbers", models.JSONField(blank=True, default=dict, verbose_name="numbers")),
                    ("content", models.JSONField(blank=True, default=dict, verbose_name="text")),
                    ("cache_key", models.CharField(blank=True, editable=False, max_length=64)),
                    ("model", models.CharField(blank=True, max_length=100, verbose_name="model")),
                    ("prompt_version", models.CharField(blank=True, max_length=20, verbose_name="prompt version")),
                    ("dropped", models.PositiveSmallIntegerField(default=0, verbose_name="statements dropped")),
                    ("error", models.CharField(blank=True, max_length=500, verbose_name="error")),
                    ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="asked at")),
                    ("completed_at", models.DateTimeField(blank=True, null=True, verbose_name="completed at")),
                ],
                options={
                    "verbose_name": "report", "verbose_name_plural": "reports",
                    "ordering": ["-created_at", "-pk"],
                    "indexes": [
                        models.Index(fields=["state", "next_at"], name="report_due"),
                        models.Index(fields=["team", "kind", "-created_at"], name="report_of_a_team"),
                        models.Index(fields=["cache_key"], name="report_twin"),
                    ],
                    "constraints": [
                        models.CheckConstraint(condition=models.Q(models.Q(("comparison__isnull", False), ("kind", "competitors")), models.Q(("comparison__isnull", True), ("kind", "optimization")), _connector="OR"), name="report_of_competitors_has_a_comparison"),
                        models.UniqueConstraint(condition=models.Q(("kind", "competitors"), ("state__in", ("pending", "processing"))), fields=("comparison",), name="report_open_once_per_comparison"),
                        models.UniqueConstraint(condition=models.Q(("kind", "optimization"), ("state__in", ("pending", "processing"))), fields=("team", "product"), name="report_open_once_per_product"),
                        models.UniqueConstraint(fields=("comparison", "version"), name="report_version_of_comparison"),
                        models.CheckConstraint(condition=models.Q(models.Q(("state", "completed"), _negated=True), models.Q(("content", {}), _negated=True), _connector="OR"), name="report_completed_has_content"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="ModelCall",
                fields=[
                    ("id", key()),
                    ("team", models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="accounts.team", verbose_name="team")),
                    ("report", models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="calls", to="analysis.report", verbose_name="report")),
                    ("purpose", models.CharField(max_length=20, verbose_name="purpose")),
                    ("model", models.CharField(max_length=100, verbose_name="model")),
                    ("input_tokens", models.PositiveIntegerField(null=True, verbose_name="input tokens")),
                    ("cached_tokens", models.PositiveIntegerField(null=True, verbose_name="cached tokens")),
                    ("output_tokens", models.PositiveIntegerField(null=True, verbose_name="output tokens")),
                    ("reasoning_tokens", models.PositiveIntegerField(null=True, verbose_name="reasoning tokens")),
                    ("reserved_usd", models.DecimalField(decimal_places=8, max_digits=12, null=True, verbose_name="reserved (USD)")),
                    ("cost_usd", models.DecimalField(decimal_places=8, max_digits=12, null=True, verbose_name="cost (USD)")),
                    ("request_id", models.CharField(blank=True, max_length=100, verbose_name="request id")),
                    ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="at")),
                ],
                options={
                    "verbose_name": "model call", "verbose_name_plural": "model calls",
                    "ordering": ["-created_at"],
                    "indexes": [
                        models.Index(fields=["team", "-created_at"], name="model_call_spent_today"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Suggestion",
                fields=[
                    ("id", key()),
                    ("report", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="suggestions", to="analysis.report", verbose_name="report")),
                    ("category", models.CharField(max_length=20, verbose_name="category")),
                    ("priority", models.CharField(max_length=10, verbose_name="priority")),
                    ("impact_score", models.PositiveSmallIntegerField(verbose_name="impact")),
                    ("title", models.CharField(max_length=300, verbose_name="title")),
                    ("reason", models.TextField(verbose_name="reason")),
                    ("proposed_text", models.TextField(blank=True, verbose_name="proposed text")),
                    ("proposed_price", models.DecimalField(blank=True, decimal_places=2, max_digits=12, null=True, verbose_name="proposed price")),
                    ("currency", models.CharField(blank=True, max_length=3, verbose_name="currency")),
                    ("action_items", models.JSONField(blank=True, default=list, verbose_name="steps")),
                    ("evidence", models.JSONField(blank=True, default=list, verbose_name="evidence")),
                    ("state", models.CharField(choices=[("open", "open"), ("applied", "applied"), ("dismissed", "dismissed")], default="open", max_length=10, verbose_name="state")),
                    ("decided_at", models.DateTimeField(blank=True, null=True, verbose_name="decided at")),
                ],
                options={
                    "verbose_name": "suggestion", "verbose_name_plural": "suggestions",
                    "ordering": ["-impact_score", "pk"],
                    "constraints": [
                        models.CheckConstraint(condition=models.Q(("impact_score__lte", 100)), name="suggestion_impact_is_percent"),
                        models.CheckConstraint(condition=models.Q(("proposed_price__isnull", True), models.Q(("currency", ""), _negated=True), _connector="OR"), name="suggestion_price_has_currency"),
                    ],
                },
            ),
        ]),
    ]
