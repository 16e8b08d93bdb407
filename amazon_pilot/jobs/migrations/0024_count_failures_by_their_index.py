"""What failed lately is counted by cause from an index of failures alone, the newest first."""

from django.db import migrations, models

from amazon_pilot.postgresql.steps import AddIndex


class Migration(migrations.Migration):
    atomic = False  # PostgreSQL builds no index beside the traffic within a transaction
    dependencies = [("jobs", "0023_keep_one_table_of_totals")]
    operations = [
        AddIndex(
            "jobrun",
            models.Index(
                fields=["-started_at", "fingerprint", "task", "exception", "id"],
                name="failures_newest_first",
                condition=~models.Q(fingerprint=""),
            ),
        )
    ]
