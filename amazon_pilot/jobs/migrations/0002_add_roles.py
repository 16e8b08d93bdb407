"""Four groups, each with all that the one before it may do: view, operate, edit, admin."""

from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

VIEW = [
    "view_jobrun", "view_pause", "view_auditentry", "view_bulkaction", "view_scheduleentry", "view_fire",
    "view_savedsearch",
]
OPERATE = ["operate_jobs", "operate_schedule"]
EDIT = ["edit_jobs", "add_scheduleentry", "change_scheduleentry"]
ADMIN = ["administer_jobs", "delete_scheduleentry"]
ROLES = {
    "Monitor: view": VIEW,
    "Monitor: operate": VIEW + OPERATE,
    "Monitor: edit": VIEW + OPERATE + EDIT,
    "Monitor: admin": VIEW + OPERATE + EDIT + ADMIN,
}


def add(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    # Permissions are made after the last migration; the groups need them now.
    config = apps.get_app_config("jobs")
    config.models_module = True
    create_permissions(config, apps=apps, using=schema_editor.connection.alias, verbosity=0)
    config.models_module = None
    permissions = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="jobs")
    for name, codenames in ROLES.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        group.permissions.add(*permissions.filter(codename__in=codenames))


def remove(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("auth", "Group").objects.filter(name__in=ROLES).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(add, remove)]
