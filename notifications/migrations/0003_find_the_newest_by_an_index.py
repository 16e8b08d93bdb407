from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("notifications", "0002_say_unknown_and_use_the_databases_clock")]
    operations = [
        migrations.AddIndex(
            model_name="notification",
            index=models.Index(fields=["channel", "-created_at", "-id"], name="notification_newest_first"),
        ),
    ]
