import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("accounts", "0003_give_each_user_a_team")]
    operations = [
        migrations.RenameField("apitoken", "user", "membership"),
        migrations.AlterField(
            model_name="apitoken",
            name="membership",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="api_tokens",
                to="accounts.membership",
                verbose_name="membership",
            ),
        ),
    ]
