from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("analysis", "0004_note_when_a_report_asked_for_fresh_data")]

    operations = [
        migrations.AddField(
            "comparison",
            "shared_until",
            models.DateTimeField("shared until", blank=True, editable=False, null=True),
        ),
    ]
