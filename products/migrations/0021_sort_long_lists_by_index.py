from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("products", "0018_find_late_products_by_indexes")]

    operations = [
        migrations.AddIndex(model_name="product", index=models.Index(fields=[column], name=f"product_by_{column}"))
        for column in ("price", "bsr", "rating", "review_count", "checked_at")
    ]
