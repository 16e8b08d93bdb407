from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.utils.translation import gettext_lazy as _

# PostgreSQL's own figure, 4, is that of a disk with moving heads: by it reading all rows of a list seems to cost less
# than finding a thousand by an index. Whoever configured another one keeps it.
PREFER_INDEXES = """SELECT set_config('random_page_cost', '1.1', false) FROM pg_settings
  WHERE name = 'random_page_cost' AND source = 'default'"""


class ProductsConfig(AppConfig):
    name = "products"
    verbose_name = _("Products")

    def ready(self) -> None:
        """Have each new connection to PostgreSQL plan for a disk without moving heads."""
        connection_created.connect(_prefer_indexes, dispatch_uid="prefer indexes")


def _prefer_indexes(connection: Any, **_more: object) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(PREFER_INDEXES)
