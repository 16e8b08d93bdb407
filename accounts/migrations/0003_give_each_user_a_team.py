from django.conf import settings
from django.core.management.color import no_style
from django.db import connections, migrations

AT_ONCE = 1000


def found_teams(apps, schema_editor):
    """Make a team for each user, which has the user's key: so whatever names the user names the team without a change.

    The membership has that key, too, for the tokens.
    """
    label, name = settings.AUTH_USER_MODEL.split(".")
    User, Team = apps.get_model(label, name), apps.get_model("accounts", "Team")
    Membership = apps.get_model("accounts", "Membership")
    alias = schema_editor.connection.alias
    last = 0
    while some := list(User.objects.using(alias).filter(pk__gt=last).order_by("pk").values_list("pk", "username")[:AT_ONCE]):
        Team.objects.using(alias).bulk_create([Team(pk=pk, name=username[:60]) for pk, username in some])
        Membership.objects.using(alias).bulk_create(
            [Membership(pk=pk, team_id=pk, user_id=pk, role="owner") for pk, _username in some]
        )
        last = some[-1][0]
    with connections[alias].cursor() as cursor:
        for statement in connections[alias].ops.sequence_reset_sql(no_style(), [Team, Membership]):
            cursor.execute(statement)


class Migration(migrations.Migration):

    dependencies = [("accounts", "0002_add_teams")]
    operations = [migrations.RunPython(found_teams, migrations.RunPython.noop)]
