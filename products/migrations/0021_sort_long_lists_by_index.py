from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("products", "0020_find_what_is_out_of_stock_by_an_index")]

    operations = [
        migrations.AddIndex(model_name="product", index=models.Index(fields=[column], name=f"product_by_{column}"))
        for column in ("price", "bsr", "rating", "review_count", "checked_at")
    ]
