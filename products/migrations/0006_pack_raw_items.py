from django.db import migrations

import products.models.rows


class Migration(migrations.Migration):
    """Keep raw items compressed. Those of the last 30 days go: to rewrite them would lock a table of millions of rows."""

    dependencies = [("products", "0005_keep_what_files_bring_and_hold_broken_batches")]

    operations = [
        migrations.RemoveField("snapshot", "raw"),
        migrations.AddField(
            "snapshot",
            "raw",
            products.models.rows.PackedJSONField(
                help_text="Kept for 30 days, without reviews.", null=True, verbose_name="item as answered"
            ),
        ),
    ]
