
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('products', '0010_leave_out_thresholds_that_are_the_usual_ones'),
    ]

    operations = [
        migrations.CreateModel(
            name='Cleanup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('raw', 'raw items after 30 days'), ('answers', 'answers set aside after 30 days'), ('changes', 'changes after 90 days'), ('targets', 'outcomes of runs after 90 days'), ('daily', 'snapshots after 90 days, but for one a day'), ('weekly', 'snapshots after a year, but for one a week'), ('runs', 'scrape runs after two years')], max_length=10, unique=True, verbose_name='what goes')),
                ('reached_at', models.DateTimeField(null=True, verbose_name='done up to')),
                ('reached_id', models.BigIntegerField(default=0)),
                ('begun_at', models.DateTimeField(null=True, verbose_name='begun at')),
                ('stepped_at', models.DateTimeField(null=True, verbose_name='last step at')),
                ('ended_at', models.DateTimeField(null=True, verbose_name='ended at')),
                ('seen', models.BigIntegerField(default=0, verbose_name='rows looked at')),
                ('gone', models.BigIntegerField(default=0, verbose_name='rows deleted or emptied')),
            ],
            options={
                'verbose_name': 'clean-up',
                'verbose_name_plural': 'clean-ups',
                'ordering': ['pk'],
            },
        ),
    ]
