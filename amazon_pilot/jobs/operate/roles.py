"""Who may do what, and where: four roles, each of which adds to the one before, in all queues or in some of them."""

from collections.abc import Collection

from django.apps import AppConfig
from django.apps.registry import Apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType

from ..core import queues
from ..models import BulkAction
from ..models.person import Asker

# What each role adds to the one before; the groups are made by the migration add_roles.
PERMISSIONS = {
    "view": "jobs.view_jobrun",
    "operate": "jobs.operate_jobs",
    "edit": "jobs.edit_jobs",
    "admin": "jobs.administer_jobs",
}
ROLES = tuple(PERMISSIONS)
IN_A_QUEUE = {
    "operate": "Can steer single jobs of the queue %s, and pause it",
    "edit": "Can edit, move and delete jobs of the queue %s",
    "admin": "Can drain the queue %s and act on many of its jobs at once",
}
LONGEST_NAME = 80  # of a queue that can have rights of its own: a permission's name has room for no more


def may(user: Asker, role: str, where: Collection[str] = ()) -> bool:
    """Tell whether a signed-in member of the staff may act in a role: in each of these queues, or, of none, everywhere.

    Who may everywhere may also act on a job of a queue that no setting names any more.
    """
    if not (user.is_active and user.is_staff):
        return False
    return user.has_perm(PERMISSIONS[role]) or (bool(where) and within(user, role).issuperset(where))


def within(user: Asker, role: str) -> frozenset[str]:
    """Return the queues in which somebody may act in a role."""
    if not (user.is_active and user.is_staff):
        return frozenset()
    if user.has_perm(PERMISSIONS[role]):
        return frozenset(queues.names())
    if role not in IN_A_QUEUE:
        return frozenset()
    reaching = ROLES[ROLES.index(role) :]
    return frozenset(name for name in queues.names() if any(user.has_perm(permission(each, name)) for each in reaching))


def permission(role: str, queue: str) -> str:
    """Return the name of the permission to act in a role in one queue, as `user.has_perm` wants it."""
    return f"{PERMISSIONS[role]}_in_{queue}"


def make_permissions(sender: AppConfig, using: str, apps: Apps, **kwargs: object) -> None:
    """Make the permissions of each queue after a migration, so that the admin's forms offer them."""
    if "bulkaction" not in apps.all_models["jobs"]:
        return  # migrated back to before there was anything to permit
    about = ContentType.objects.db_manager(using).get_for_model(BulkAction)
    rows = [
        Permission(content_type=about, codename=permission(role, queue).partition(".")[2], name=name % queue)
        for queue in queues.names() if len(queue) <= LONGEST_NAME for role, name in IN_A_QUEUE.items()
    ]  # fmt: skip
    Permission.objects.using(using).bulk_create(rows, ignore_conflicts=True)
