import django.db.models.deletion
from django.db import DatabaseError, migrations, models, transaction
from django.db.models import Q, Value
from django.db.models.functions import Coalesce, Left, Lower, NullIf

WORDS = r"concat_ws(E'\n', {0}asin, {0}title, {0}brand)"
KEPT = (
    f"""CREATE FUNCTION products_keep_search_text() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO products_searchtext (product_id, text) VALUES (NEW.id, {WORDS.format("NEW.")})
        ON CONFLICT (product_id) DO UPDATE SET text = EXCLUDED.text;
      RETURN NULL;
    END $$""",
    """CREATE TRIGGER products_new_search_text AFTER INSERT ON products_product
    FOR EACH ROW EXECUTE FUNCTION products_keep_search_text()""",
    """CREATE TRIGGER products_other_search_text AFTER UPDATE OF asin, title, brand ON products_product
    FOR EACH ROW WHEN ((OLD.asin, OLD.title, OLD.brand) IS DISTINCT FROM (NEW.asin, NEW.title, NEW.brand))
    EXECUTE FUNCTION products_keep_search_text()""",
    f"INSERT INTO products_searchtext (product_id, text) SELECT id, {WORDS.format('')} FROM products_product",
)
# As icontains asks on PostgreSQL.
FOUND = (
    "CREATE INDEX products_searchtext_parts ON products_searchtext USING gin (UPPER(text) gin_trgm_ops)",
    """CREATE INDEX tracking_alias_parts ON products_tracking USING gin (UPPER(alias::text) gin_trgm_ops)
    WHERE alias > ''""",
)
GONE = (
    "DROP INDEX IF EXISTS tracking_alias_parts",
    "DROP TRIGGER products_new_search_text ON products_product",
    "DROP TRIGGER products_other_search_text ON products_product",
    "DROP FUNCTION products_keep_search_text",
)


def keep_search_texts(apps, schema_editor):
    """Have PostgreSQL keep what is searched, and find parts of it by trigrams where it has them."""
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        for statement in KEPT:
            cursor.execute(statement)
        try:
            with transaction.atomic(schema_editor.connection.alias):
                for statement in ("CREATE EXTENSION IF NOT EXISTS pg_trgm", *FOUND):
                    cursor.execute(statement)
        except DatabaseError:
            pass  # not installed, or not allowed: a search reads these short rows one by one


def keep_none(apps, schema_editor):
    """Take away what the table itself does not take with it."""
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            for statement in GONE:
                cursor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("products", "0021_sort_long_lists_by_index")]

    operations = [
        migrations.CreateModel(
            name="SearchText",
            fields=[
                (
                    "product",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="searched",
                        serialize=False,
                        to="products.product",
                    ),
                ),
                ("text", models.TextField()),
            ],
        ),
        migrations.AddIndex(
            "product",
            models.Index(
                Lower(Coalesce(NullIf(Left("title", 60), Value("")), "asin")),
                name="product_by_name",
            ),
        ),
        migrations.AddIndex(
            "tracking",
            models.Index("team", Lower("alias"), "id", name="tracking_by_alias", condition=Q(alias__gt="")),
        ),
        migrations.AddIndex(
            "tracking",
            models.Index(fields=["team", "id"], name="tracking_paused", condition=Q(paused=True)),
        ),
        migrations.AddIndex("tracking", models.Index(fields=["team", "role", "id"], name="tracking_of_team_by_role")),
        migrations.RunPython(keep_search_texts, keep_none),
    ]
