"""Make the tables as the first five migrations leave them, and a team for each user of before.

Users are older than teams: an installation that has no table of this app may have users, and rows of theirs.
"""

import accounts.models
import django.db.models.deletion
from django.conf import settings
from django.core.management.color import no_style
from django.db import connections, migrations, models

from amazon_pilot.postgresql.steps import Together

AT_ONCE = 1000
ROLES = [("owner", "owner"), ("member", "member"), ("viewer", "viewer")]


def key():
    return models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


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

    initial = True
    replaces = [
        ("accounts", "0001_initial"),
        ("accounts", "0002_add_teams"),
        ("accounts", "0003_give_each_user_a_team"),
        ("accounts", "0004_give_tokens_to_members"),
        ("accounts", "0005_let_teams_end"),
    ]
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("auth", "0012_alter_user_first_name_max_length"),  # its steps are quick while there are few models
    ]

    operations = [
        Together([
            migrations.CreateModel(
                name="Team",
                fields=[
                    ("id", key()),
                    ("name", models.CharField(max_length=60, verbose_name="name")),
                    ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="made at")),
                    ("ended_at", models.DateTimeField(editable=False, null=True, verbose_name="deleted at")),
                ],
                options={
                    "verbose_name": "team", "verbose_name_plural": "teams",
                    "ordering": ["pk"],
                },
            ),
            migrations.CreateModel(
                name="Membership",
                fields=[
                    ("id", key()),
                    ("team", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="memberships", to="accounts.team", verbose_name="team")),
                    ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="memberships", to=settings.AUTH_USER_MODEL, verbose_name="user")),
                    ("role", models.CharField(choices=ROLES, default="member", max_length=6, verbose_name="role")),
                    ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="joined at")),
                ],
                options={
                    "verbose_name": "membership", "verbose_name_plural": "memberships",
                    "constraints": [
                        models.UniqueConstraint(fields=("team", "user"), name="member_once_per_team"),
                        models.UniqueConstraint(condition=models.Q(("role", "owner")), fields=("team",), name="team_has_one_owner"),
                    ],
                },
            ),
            migrations.AddField(
                model_name="team",
                name="members",
                field=models.ManyToManyField(related_name="teams", through="accounts.Membership", to=settings.AUTH_USER_MODEL),
            ),
            migrations.CreateModel(
                name="ApiToken",
                fields=[
                    ("id", key()),
                    ("membership", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="api_tokens", to="accounts.membership", verbose_name="membership")),
                    ("name", models.CharField(help_text="What it is for.", max_length=60, verbose_name="name")),
                    ("scope", models.CharField(choices=[("read", "read"), ("write", "read and write")], default="read", max_length=5, verbose_name="may")),
                    ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                    ("start", models.CharField(editable=False, max_length=12, verbose_name="begins with")),
                    ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="made at")),
                    ("last_used_at", models.DateTimeField(editable=False, null=True, verbose_name="last used")),
                ],
                options={
                    "verbose_name": "token", "verbose_name_plural": "tokens",
                    "ordering": ["-pk"],
                },
            ),
            migrations.CreateModel(
                name="Invitation",
                fields=[
                    ("id", key()),
                    ("email", models.EmailField(max_length=254, verbose_name="e-mail")),
                    ("team", models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name="invitations", to="accounts.team", verbose_name="team")),
                    ("role", models.CharField(blank=True, choices=ROLES, max_length=6, verbose_name="role")),
                    ("invited_by", models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="invited by")),
                    ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="made at")),
                    ("expires_at", models.DateTimeField(default=accounts.models.when_expired, verbose_name="ends at")),
                    ("sent_at", models.DateTimeField(null=True, verbose_name="sent at")),
                    ("accepted_at", models.DateTimeField(null=True, verbose_name="accepted at")),
                    ("language", models.CharField(blank=True, max_length=10)),
                ],
                options={
                    "verbose_name": "invitation", "verbose_name_plural": "invitations",
                    "ordering": ["-pk"],
                },
            ),
            migrations.CreateModel(
                name="Preferences",
                fields=[
                    ("id", key()),
                    ("user", models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name="preferences", to=settings.AUTH_USER_MODEL)),
                    ("zone", models.CharField(blank=True, max_length=60, validators=[accounts.models.check_zone], verbose_name="time zone")),
                    ("language", models.CharField(blank=True, choices=[("en", "English"), ("zh-hans", "Simplified Chinese")], max_length=10, verbose_name="language")),
                    ("team", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="accounts.team", verbose_name="team")),
                    ("leaving_at", models.DateTimeField(editable=False, null=True, verbose_name="leaving since")),
                ],
                options={
                    "verbose_name": "preferences", "verbose_name_plural": "preferences",
                },
            ),
        ]),
        migrations.RunPython(found_teams, migrations.RunPython.noop),
    ]
