import django.db.models.deletion
from django.db import migrations, models

OWNED = {
    "tracking": {"related_name": "trackings", "verbose_name": "team"},
    "change": {"related_name": "+", "verbose_name": "team", "null": True, "db_index": False},
    "tag": {"related_name": "tags", "verbose_name": "team"},
    "import": {"related_name": "imports", "verbose_name": "team"},
    "importedpoint": {"related_name": "+", "db_index": False},
}
OLD = {
    "change": (
        *("change_newest_of_user", "change_of_user_by_severity", "change_of_user_by_kind", "change_open_of_user"),
    ),
    "import": ("import_newest_of_user",),
    "importedpoint": ("imported_history_of_user",),
}
OPEN = models.Q(("acknowledged_at", None))
NEW = {
    "change": (
        models.Index(fields=["team", "-seen_at", "-id"], name="change_newest_of_team"),
        models.Index(fields=["team", "severity", "-seen_at", "-id"], name="change_of_team_by_severity"),
        models.Index(fields=["team", "kind", "-seen_at", "-id"], name="change_of_team_by_kind"),
        models.Index(fields=["team", "-seen_at", "-id"], name="change_open_of_team", condition=OPEN),
    ),
    "import": (models.Index(fields=["team", "-id"], name="import_newest_of_team"),),
    "importedpoint": (models.Index(fields=["team", "product", "at"], name="imported_history_of_team"),),
}


def owner(words):
    return models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="accounts.team", **words)


class Migration(migrations.Migration):
    """A user's first team has the user's key, so no row is written anew: the columns change their name and what they
    name."""

    dependencies = [
        ("accounts", "0003_give_each_user_a_team"),
        ("products", "0006_pack_raw_items"),
    ]
    operations = [
        migrations.RemoveConstraint("tracking", "tracking_once_per_user"),
        migrations.RemoveConstraint("tag", "tag_once_per_user"),
        *(migrations.RemoveIndex(model, name) for model, names in OLD.items() for name in names),
        *(migrations.RenameField(model, "user", "team") for model in OWNED),
        *(migrations.AlterField(model, "team", owner(words)) for model, words in OWNED.items()),
        migrations.AddConstraint(
            "tracking", models.UniqueConstraint(fields=("team", "product"), name="tracking_once_per_team")
        ),
        migrations.AddConstraint("tag", models.UniqueConstraint(fields=("team", "name"), name="tag_once_per_team")),
        *(migrations.AddIndex(model, index) for model, indexes in NEW.items() for index in indexes),
    ]
