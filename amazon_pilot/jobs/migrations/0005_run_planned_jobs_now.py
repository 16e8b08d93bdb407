from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0004_index_the_tags")]

    operations = [
        migrations.AlterField(
            model_name="bulkaction",
            name="action",
            field=models.CharField(
                choices=[
                    ("retry", "Retry"),
                    ("delete", "Delete"),
                    ("hold", "Hold"),
                    ("release", "Release"),
                    ("run now", "Run now"),
                    ("move", "Move"),
                    ("cancel", "Cancel"),
                ],
                max_length=8,
                verbose_name="action",
            ),
        ),
    ]
