from decimal import Decimal

from django.db import migrations

USUAL = {
    "price_threshold": Decimal(10),
    "rating_threshold": Decimal("0.2"),
    "review_threshold": Decimal(10),
    "tell_buybox": True,
    "tell_availability": True,
    "tell_listing": False,
    "rearm_minutes": 0,
}


def leave_out(apps, schema_editor):
    """Have a product say only what differs from what is usual: the rest follows its tags and its team from now on."""
    rows = apps.get_model("products", "Tracking").objects.using(schema_editor.connection.alias)
    for name, usual in USUAL.items():
        rows.filter(**{name: usual}).update(**{name: None})
    rows.filter(bsr_threshold=30, bsr_unit="percent").update(bsr_threshold=None, bsr_unit="")


class Migration(migrations.Migration):

    dependencies = [("products", "0009_let_rules_be_said_where_they_differ")]
    operations = [migrations.RunPython(leave_out, migrations.RunPython.noop)]
