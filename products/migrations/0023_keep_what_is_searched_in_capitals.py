from django.db import DatabaseError, migrations, transaction

KEPT = """CREATE OR REPLACE FUNCTION products_keep_search_text() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO products_searchtext (product_id, text) VALUES (NEW.id, {words})
        ON CONFLICT (product_id) DO UPDATE SET text = EXCLUDED.text;
      RETURN NULL;
    END $$"""
AS_WRITTEN = r"concat_ws(E'\n', NEW.asin, NEW.title, NEW.brand)"
WITHOUT = "DROP INDEX IF EXISTS products_searchtext_parts"
FOUND = "CREATE INDEX products_searchtext_parts ON products_searchtext USING gin ({text} gin_trgm_ops)"


def keep_capitals(apps, schema_editor):
    """Have the words stand as a search compares them: to write each anew in capitals took most of its time."""
    _keep(
        schema_editor,
        KEPT.format(words=f"UPPER({AS_WRITTEN})"),
        "UPDATE products_searchtext SET text = UPPER(text)",
        FOUND.format(text="text"),
    )


def keep_as_written(apps, schema_editor):
    """Have the words stand as the products have them."""
    words = r"concat_ws(E'\n', asin, title, brand)"
    _keep(
        schema_editor,
        KEPT.format(words=AS_WRITTEN),
        f"UPDATE products_searchtext SET text = {words} FROM products_product WHERE id = product_id",
        FOUND.format(text="UPPER(text)"),
    )


def _keep(schema_editor, function, update, index):
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        for statement in (WITHOUT, function, update):
            cursor.execute(statement)
        try:
            with transaction.atomic(schema_editor.connection.alias):
                cursor.execute(index)
        except DatabaseError:
            pass  # without pg_trgm, as before: a search reads these short rows one by one


class Migration(migrations.Migration):
    dependencies = [("products", "0022_find_and_sort_in_long_lists_by_indexes")]

    operations = [migrations.RunPython(keep_capitals, keep_as_written)]
