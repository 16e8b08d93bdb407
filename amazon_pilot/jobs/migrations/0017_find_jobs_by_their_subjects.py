from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0016_know_the_causes_of_failures")]

    operations = [
        migrations.CreateModel(
            name="JobSubject",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("subject", models.CharField(max_length=120, verbose_name="about")),
                ("job_id", models.CharField(max_length=100, verbose_name="job")),
                ("at", models.DateTimeField(verbose_name="started at")),
            ],
            options={"verbose_name": "subject", "verbose_name_plural": "subjects"},
        ),
        migrations.AddIndex(
            model_name="jobsubject", index=models.Index(fields=["subject", "-at"], name="jobs_about_a_subject")
        ),
        migrations.AddIndex(
            model_name="jobsubject", index=models.Index(fields=["job_id"], name="subjects_of_a_job")
        ),
        migrations.AddIndex(model_name="jobsubject", index=models.Index(fields=["at"], name="subjects_by_age")),
        migrations.AddConstraint(
            model_name="jobsubject",
            constraint=models.UniqueConstraint(fields=("subject", "job_id"), name="one_row_per_subject_of_a_job"),
        ),
    ]
