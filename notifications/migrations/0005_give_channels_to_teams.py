from django.db import migrations
from django.db.models import F


def give(apps, schema_editor):
    """Give each channel to the first team of its user, which has the user's key; the pages' own is nobody's alone."""
    rows = apps.get_model("notifications", "Channel").objects.using(schema_editor.connection.alias)
    rows.filter(team=None).update(team_id=F("user_id"))
    rows.filter(kind="app").update(user=None)


class Migration(migrations.Migration):

    dependencies = [("notifications", "0004_add_the_team_of_each_channel")]
    operations = [migrations.RunPython(give, migrations.RunPython.noop, elidable=True)]
