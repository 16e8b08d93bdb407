"""The index that every list of runs is read by also holds what a search compares, so that no such search reads rows.

Built beside the traffic on PostgreSQL, where a big table would else stand still for minutes. Only then is the narrower
one dropped whose place it takes.
"""

from django.db import migrations, models

from amazon_pilot.postgresql.steps import AddIndex, RemoveIndex, SetOnPostgreSQL

# An index answers alone only for pages that a vacuum has seen, so it looks more often than after a fifth of the rows.
OFTEN = ("autovacuum_vacuum_scale_factor", "autovacuum_vacuum_insert_scale_factor", "autovacuum_analyze_scale_factor")


class Migration(migrations.Migration):
    atomic = False  # PostgreSQL builds no index beside the traffic within a transaction
    dependencies = [("jobs", "0007_name_the_filters_of_the_audit")]
    operations = [
        AddIndex(
            "jobrun",
            models.Index(
                fields=["-started_at", "-id", "duration", "wait", "attempt", "worker", "outcome", "queue"],
                name="runs_newest_first_searched",
                opclasses=[
                    "timestamptz_ops", "int8_ops", "float8_ops", "float8_ops", "int4_ops", "varchar_pattern_ops",
                    "varchar_ops", "varchar_ops",
                ],
            ),
        ),
        RemoveIndex("jobrun", "runs_newest_first"),
        SetOnPostgreSQL(
            f"ALTER TABLE jobs_jobrun SET ({', '.join(f'{name} = 0.05' for name in OFTEN)})",
            f"ALTER TABLE jobs_jobrun RESET ({', '.join(OFTEN)})",
        ),
    ]
