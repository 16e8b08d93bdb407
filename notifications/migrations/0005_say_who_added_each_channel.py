from django.db import migrations
from django.db.models import F


def say_who(apps, schema_editor):
    """Note who added each address: the user whose key the team has."""
    rows = apps.get_model("notifications", "Channel").objects.using(schema_editor.connection.alias)
    rows.exclude(kind="app").filter(user=None).update(user_id=F("team_id"))


class Migration(migrations.Migration):

    dependencies = [("notifications", "0004_give_channels_to_teams")]
    operations = [migrations.RunPython(say_who, migrations.RunPython.noop, elidable=True)]
