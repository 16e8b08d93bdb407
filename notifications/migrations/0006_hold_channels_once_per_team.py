from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("notifications", "0005_give_channels_to_teams")]
    operations = [
        migrations.RemoveConstraint("channel", "channel_once_per_address"),
        migrations.AddConstraint(
            "channel",
            models.UniqueConstraint(fields=("team", "kind", "address"), name="channel_once_per_address"),
        ),
        migrations.AddConstraint(
            "channel",
            models.UniqueConstraint(
                condition=models.Q(("team", None)), fields=("user",), name="channel_once_per_operator"
            ),
        ),
    ]
