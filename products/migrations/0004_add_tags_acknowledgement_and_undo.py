import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("products", "0003_name_the_user_of_each_change"),
    ]
    operations = [
        migrations.CreateModel(
            name="Tag",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=40, verbose_name="name")),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tags",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={"verbose_name": "tag", "verbose_name_plural": "tags", "ordering": ["name"]},
        ),
        migrations.AddConstraint(
            model_name="tag",
            constraint=models.UniqueConstraint(fields=("user", "name"), name="tag_once_per_user"),
        ),
        migrations.AddField(
            model_name="tracking",
            name="tags",
            field=models.ManyToManyField(
                blank=True, related_name="trackings", to="products.tag", verbose_name="tags"
            ),
        ),
        migrations.AddField(
            model_name="tracking",
            name="removed_at",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="removed at"),
        ),
        migrations.AddIndex(
            model_name="tracking",
            index=models.Index(
                condition=models.Q(("removed_at__isnull", False)), fields=["removed_at"], name="tracking_removed"
            ),
        ),
        migrations.AddField(
            model_name="change",
            name="acknowledged_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="acknowledged at"),
        ),
        migrations.AddIndex(
            model_name="change",
            index=models.Index(fields=["user", "severity", "-seen_at", "-id"], name="change_of_user_by_severity"),
        ),
        migrations.AddIndex(
            model_name="change",
            index=models.Index(fields=["user", "kind", "-seen_at", "-id"], name="change_of_user_by_kind"),
        ),
        migrations.AddIndex(
            model_name="change",
            index=models.Index(
                condition=models.Q(("acknowledged_at", None)),
                fields=["user", "-seen_at", "-id"],
                name="change_open_of_user",
            ),
        ),
    ]
