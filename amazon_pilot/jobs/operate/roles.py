"""Who may do what: four roles, each of which adds to the one before."""

from ..models.person import Asker

# What each role adds to the one before; the groups are made by the migration add_roles.
PERMISSIONS = {
    "view": "jobs.view_jobrun",
    "operate": "jobs.operate_jobs",
    "edit": "jobs.edit_jobs",
    "admin": "jobs.administer_jobs",
}


def may(user: Asker, role: str) -> bool:
    """Tell whether a signed-in member of the staff may act in a role: view, operate, edit or admin."""
    return bool(user.is_active and user.is_staff and user.has_perm(PERMISSIONS[role]))
