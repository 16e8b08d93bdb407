from django.db import migrations
from django.db.models import OuterRef, Subquery


def name_users(apps, schema_editor):
    """Copy each tracking's user to its changes, a bounded number at a time."""
    Change, Tracking = apps.get_model("products", "Change"), apps.get_model("products", "Tracking")
    user = Tracking.objects.filter(pk=OuterRef("tracking")).values("user")[:1]
    last = Change.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    for start in range(0, last + 1, 10_000):
        unnamed = Change.objects.filter(pk__gte=start, pk__lt=start + 10_000, user=None)
        unnamed.update(user_id=Subquery(user))


class Migration(migrations.Migration):

    dependencies = [("products", "0002_keep_answers_apart_and_days_within_budget")]
    operations = [migrations.RunPython(name_users, migrations.RunPython.noop, elidable=True)]
