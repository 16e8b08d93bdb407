"""Make the tables as the first 22 migrations leave them."""

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.comparison
import django.db.models.functions.text
import django.utils.timezone
import products.models.beginning
import products.models.rows
import uuid
from decimal import Decimal
from django.conf import settings
from django.db import DatabaseError, migrations, models, transaction

from amazon_pilot.postgresql.steps import Together

WAYS = [("any", "either way"), ("up", "up, or a better rank"), ("down", "down, or a worse rank")]
CURRENCIES = [(name, name) for name in (
    "AED", "AUD", "BRL", "CAD", "EGP", "EUR", "GBP", "INR", "JPY", "MXN", "PLN", "SAR", "SEK", "SGD", "TRY", "USD",
    "ZAR",
)]
DAYS = [(7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "1 year")]
UNITS = [("percent", "percent"), ("positions", "positions")]
YES_OR_NO = [(True, "yes"), (False, "no")]
FREQUENCIES = [
    ("1_hourly", "hourly"),
    ("2_six_hourly", "every six hours"),
    ("3_daily", "daily"),
    ("4_weekly", "weekly"),
]
MARKETPLACES = [(name, name) for name in (
    "amazon.com", "amazon.co.uk", "amazon.de", "amazon.fr", "amazon.it", "amazon.es", "amazon.co.jp", "amazon.ca",
    "amazon.com.mx", "amazon.com.br", "amazon.nl", "amazon.com.be", "amazon.ie", "amazon.se", "amazon.pl",
    "amazon.com.tr", "amazon.ae", "amazon.sa", "amazon.eg", "amazon.in", "amazon.sg", "amazon.com.au", "amazon.co.za",
)]
OUTCOMES = [
    ("ok", "Seen"),
    ("not_found", "Not on this marketplace"),
    ("blocked", "Amazon answered with an error"),
    ("bad", "The page could not be read"),
    ("mismatch", "Another product was answered"),
    ("missing", "Not answered"),
    ("held", "Held back: a person decides"),
    ("set_aside", "Set aside: the answer could not be read or stored"),
]
KEPT = (
    r"""CREATE FUNCTION products_keep_search_text() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO products_searchtext (product_id, text) VALUES (NEW.id, concat_ws(E'\n', NEW.asin, NEW.title, NEW.brand))
        ON CONFLICT (product_id) DO UPDATE SET text = EXCLUDED.text;
      RETURN NULL;
    END $$""",
    """CREATE TRIGGER products_new_search_text AFTER INSERT ON products_product
    FOR EACH ROW EXECUTE FUNCTION products_keep_search_text()""",
    """CREATE TRIGGER products_other_search_text AFTER UPDATE OF asin, title, brand ON products_product
    FOR EACH ROW WHEN ((OLD.asin, OLD.title, OLD.brand) IS DISTINCT FROM (NEW.asin, NEW.title, NEW.brand))
    EXECUTE FUNCTION products_keep_search_text()""",
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


def key():
    return models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


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

    initial = True
    replaces = [
        ("products", "0001_initial"),
        ("products", "0002_keep_answers_apart_and_days_within_budget"),
        ("products", "0003_name_the_user_of_each_change"),
        ("products", "0004_add_tags_acknowledgement_and_undo"),
        ("products", "0005_keep_what_files_bring_and_hold_broken_batches"),
        ("products", "0006_pack_raw_items"),
        ("products", "0007_give_what_users_had_to_their_teams"),
        ("products", "0008_let_teams_name_their_sellers"),
        ("products", "0009_let_rules_be_said_where_they_differ"),
        ("products", "0010_leave_out_thresholds_that_are_the_usual_ones"),
        ("products", "0011_note_how_far_clean_ups_came"),
        ("products", "0012_let_months_and_teams_have_budgets"),
        ("products", "0013_note_when_apify_called"),
        ("products", "0014_let_imports_be_taken_step_by_step"),
        ("products", "0015_tell_of_competitors"),
        ("products", "0016_keep_views_and_changes_of_many"),
        ("products", "0017_let_new_products_begin_as_a_team_says"),
        ("products", "0018_find_late_products_by_indexes"),
        ("products", "0019_keep_a_picture_of_each_product"),
        ("products", "0020_find_what_is_out_of_stock_by_an_index"),
        ("products", "0021_sort_long_lists_by_index"),
        ("products", "0022_find_and_sort_in_long_lists_by_indexes"),
    ]
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("accounts", "0005_let_teams_end"),
    ]

    operations = [
        Together([
            migrations.CreateModel(
                name="Tag",
                fields=[
                    ("id", key()),
                    ("team", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="tags", to="accounts.team", verbose_name="team")),
                    ("name", models.CharField(max_length=40, verbose_name="name")),
                ],
                options={
                    "verbose_name": "tag", "verbose_name_plural": "tags",
                    "ordering": ["name"],
                    "constraints": [
                        models.UniqueConstraint(fields=("team", "name"), name="tag_once_per_team"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Rules",
                fields=[
                    ("id", key()),
                    ("price_threshold", models.DecimalField(blank=True, decimal_places=2, max_digits=5, null=True, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100)], verbose_name="tell me when the price moves by more than (%)")),
                    ("price_way", models.CharField(blank=True, choices=WAYS, max_length=4, verbose_name="price moves")),
                    ("price_below", models.DecimalField(blank=True, decimal_places=2, max_digits=12, null=True, validators=[django.core.validators.MinValueValidator(Decimal("0.01"))], verbose_name="tell me when the price falls below")),
                    ("price_above", models.DecimalField(blank=True, decimal_places=2, max_digits=12, null=True, validators=[django.core.validators.MinValueValidator(Decimal("0.01"))], verbose_name="tell me when the price rises above")),
                    ("currency", models.CharField(blank=True, choices=CURRENCIES, max_length=3, verbose_name="currency of these prices")),
                    ("price_lowest_days", models.PositiveSmallIntegerField(blank=True, choices=DAYS, null=True, verbose_name="tell me the lowest price in")),
                    ("bsr_threshold", models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(1)], verbose_name="tell me when the rank moves by more than")),
                    ("bsr_unit", models.CharField(blank=True, choices=UNITS, max_length=10, verbose_name="rank threshold in")),
                    ("bsr_way", models.CharField(blank=True, choices=WAYS, max_length=4, verbose_name="rank moves")),
                    ("bsr_outside", models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(1)], verbose_name="tell me when the rank falls out of the top")),
                    ("bsr_best_days", models.PositiveSmallIntegerField(blank=True, choices=DAYS, null=True, verbose_name="tell me the best rank in")),
                    ("rating_threshold", models.DecimalField(blank=True, decimal_places=1, max_digits=2, null=True, validators=[django.core.validators.MinValueValidator(Decimal("0.1")), django.core.validators.MaxValueValidator(4)], verbose_name="tell me when the rating moves by at least (stars)")),
                    ("review_threshold", models.DecimalField(blank=True, decimal_places=2, max_digits=6, null=True, validators=[django.core.validators.MinValueValidator(0)], verbose_name="tell me when the review count moves by more than (%)")),
                    ("rival_percent", models.DecimalField(blank=True, decimal_places=2, help_text="Of each comparison. 0: as soon as a competitor is cheaper.", max_digits=6, null=True, validators=[django.core.validators.MinValueValidator(0)], verbose_name="tell me when my price lies above a competitor's by more than (%)")),
                    ("rival_amount", models.DecimalField(blank=True, decimal_places=2, max_digits=12, null=True, validators=[django.core.validators.MinValueValidator(Decimal("0"))], verbose_name="tell me when my price lies above a competitor's by more than")),
                    ("rival_positions", models.PositiveIntegerField(blank=True, help_text="In the same category. 0: as soon as a competitor's rank is better.", null=True, verbose_name="tell me when my rank falls behind a competitor's by more than (positions)")),
                    ("tell_buybox", models.BooleanField(blank=True, choices=YES_OR_NO, null=True, verbose_name="tell me when the buy box changes hands")),
                    ("tell_availability", models.BooleanField(blank=True, choices=YES_OR_NO, null=True, verbose_name="tell me when availability changes")),
                    ("tell_back", models.BooleanField(blank=True, choices=YES_OR_NO, null=True, verbose_name="tell me when it is back in stock")),
                    ("tell_listing", models.BooleanField(blank=True, choices=YES_OR_NO, null=True, verbose_name="tell me when title, bullets or images change")),
                    ("rearm_minutes", models.PositiveIntegerField(blank=True, help_text="0: every change that crosses its threshold is told.", null=True, verbose_name="stay silent on the same matter for (minutes)")),
                    ("muted_until", models.DateTimeField(blank=True, null=True, verbose_name="tell nothing until")),
                    ("team", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="rules", to="accounts.team", verbose_name="team")),
                    ("tag", models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name="rules", to="products.tag", verbose_name="tag")),
                ],
                options={
                    "verbose_name": "rules", "verbose_name_plural": "rules",
                    "constraints": [
                        models.UniqueConstraint(condition=models.Q(("tag", None)), fields=("team",), name="rules_once_per_team"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Beginning",
                fields=[
                    ("id", key()),
                    ("team", models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="accounts.team", verbose_name="team")),
                    ("frequency", models.CharField(choices=FREQUENCIES, default="3_daily", max_length=12, verbose_name="looked at")),
                    ("marketplace", models.CharField(choices=MARKETPLACES, default="amazon.com", max_length=20, verbose_name="marketplace")),
                    ("tags", models.CharField(blank=True, help_text="With commas between them.", max_length=400, validators=[products.models.beginning.check_tags], verbose_name="tags")),
                ],
                options={
                    "verbose_name": "beginning of new products", "verbose_name_plural": "beginnings of new products",
                },
            ),
            migrations.CreateModel(
                name="BulkChange",
                fields=[
                    ("id", key()),
                    ("team", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="accounts.team", verbose_name="team")),
                    ("what", models.CharField(max_length=40, verbose_name="what was done")),
                    ("tag", models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="products.tag", verbose_name="tag")),
                    ("before", products.models.rows.PackedJSONField(verbose_name="before")),
                    ("count", models.PositiveIntegerField(verbose_name="products")),
                    ("done_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="done at")),
                    ("undone_at", models.DateTimeField(null=True, verbose_name="taken back at")),
                ],
                options={
                    "verbose_name": "change of many products", "verbose_name_plural": "changes of many products",
                    "indexes": [
                        models.Index(fields=["done_at"], name="bulk_change_prune"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Product",
                fields=[
                    ("id", key()),
                    ("marketplace", models.CharField(choices=MARKETPLACES, max_length=20, verbose_name="marketplace")),
                    ("asin", models.CharField(max_length=10, verbose_name="ASIN")),
                    ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="added at")),
                    ("title", models.CharField(blank=True, max_length=2000, verbose_name="title")),
                    ("brand", models.CharField(blank=True, max_length=200, verbose_name="brand")),
                    ("bullets", models.JSONField(blank=True, default=list, verbose_name="bullets")),
                    ("description", models.TextField(blank=True, verbose_name="description")),
                    ("images", models.JSONField(blank=True, default=list, verbose_name="images")),
                    ("picture", models.CharField(blank=True, db_default="", default="", editable=False, max_length=12)),
                    ("has_video", models.BooleanField(null=True, verbose_name="has a video")),
                    ("categories", models.JSONField(blank=True, default=list, verbose_name="categories")),
                    ("content_hash", models.CharField(blank=True, editable=False, max_length=64)),
                    ("content_seen_at", models.DateTimeField(blank=True, null=True, verbose_name="content seen at")),
                    ("price", models.DecimalField(blank=True, decimal_places=2, max_digits=12, null=True, verbose_name="price")),
                    ("list_price", models.DecimalField(blank=True, decimal_places=2, max_digits=12, null=True, verbose_name="list price")),
                    ("price_seen_at", models.DateTimeField(blank=True, null=True, verbose_name="price seen at")),
                    ("bsr", models.PositiveIntegerField(blank=True, null=True, verbose_name="best sellers rank")),
                    ("bsr_category", models.CharField(blank=True, max_length=200, verbose_name="category of the rank")),
                    ("bsr_seen_at", models.DateTimeField(blank=True, null=True, verbose_name="rank seen at")),
                    ("rating", models.DecimalField(blank=True, decimal_places=1, max_digits=2, null=True, verbose_name="rating")),
                    ("rating_seen_at", models.DateTimeField(blank=True, null=True, verbose_name="rating seen at")),
                    ("review_count", models.PositiveIntegerField(blank=True, null=True, verbose_name="review count")),
                    ("review_count_seen_at", models.DateTimeField(blank=True, null=True, verbose_name="review count seen at")),
                    ("seller", models.CharField(blank=True, max_length=200, verbose_name="buy box seller")),
                    ("seller_id", models.CharField(blank=True, max_length=40, verbose_name="buy box seller's id")),
                    ("fulfilled_by_amazon", models.BooleanField(null=True, verbose_name="fulfilled by Amazon")),
                    ("seller_seen_at", models.DateTimeField(blank=True, null=True, verbose_name="seller seen at")),
                    ("availability", models.CharField(blank=True, choices=[("in_stock", "In stock"), ("low_stock", "Low stock"), ("preorder", "Pre-order"), ("unavailable", "Unavailable"), ("no_offer", "No offer"), ("unknown", "Unknown")], max_length=12, verbose_name="availability")),
                    ("availability_seen_at", models.DateTimeField(blank=True, null=True, verbose_name="availability seen at")),
                    ("bought_past_month", models.PositiveIntegerField(blank=True, null=True, verbose_name="bought past month, at least")),
                    ("monitored", models.BooleanField(default=True, help_text="Off: nothing is fetched for anyone.", verbose_name="monitored")),
                    ("asked_at", models.DateTimeField(blank=True, null=True, verbose_name="asked for at")),
                    ("checked_at", models.DateTimeField(blank=True, null=True, verbose_name="last answer at")),
                    ("failures", models.PositiveSmallIntegerField(default=0, verbose_name="failures in a row")),
                    ("retry_at", models.DateTimeField(blank=True, null=True, verbose_name="rests until")),
                    ("last_outcome", models.CharField(blank=True, choices=OUTCOMES, max_length=10, verbose_name="last outcome")),
                ],
                options={
                    "verbose_name": "product", "verbose_name_plural": "products",
                    "ordering": ["marketplace", "asin"],
                    "indexes": [
                        models.Index(fields=["monitored", "checked_at"], name="product_due"),
                        models.Index(condition=models.Q(("failures__gt", 0)), fields=["failures"], name="product_failing"),
                        models.Index(condition=models.Q(("availability__in", ("unavailable", "no_offer"))), fields=["availability"], name="product_gone"),
                        models.Index(condition=models.Q(("asked_at__isnull", False)), fields=["asked_at"], name="product_asked_for"),
                        models.Index(fields=["price"], name="product_by_price"),
                        models.Index(fields=["bsr"], name="product_by_bsr"),
                        models.Index(fields=["rating"], name="product_by_rating"),
                        models.Index(fields=["review_count"], name="product_by_review_count"),
                        models.Index(fields=["checked_at"], name="product_by_checked_at"),
                        models.Index(django.db.models.functions.text.Lower(django.db.models.functions.comparison.Coalesce(django.db.models.functions.comparison.NullIf(django.db.models.functions.text.Left("title", 60), models.Value("")), "asin")), name="product_by_name"),
                    ],
                    "constraints": [
                        models.UniqueConstraint(fields=("marketplace", "asin"), name="product_once_per_marketplace"),
                        models.CheckConstraint(condition=models.Q(("price__isnull", True), ("price__gt", 0), _connector="OR"), name="product_price_is_positive"),
                        models.CheckConstraint(condition=models.Q(("bsr__isnull", True), ("bsr__gt", 0), _connector="OR"), name="product_bsr_is_positive"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Tracking",
                fields=[
                    ("id", key()),
                    ("price_threshold", models.DecimalField(blank=True, decimal_places=2, max_digits=5, null=True, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100)], verbose_name="tell me when the price moves by more than (%)")),
                    ("price_way", models.CharField(blank=True, choices=WAYS, max_length=4, verbose_name="price moves")),
                    ("price_below", models.DecimalField(blank=True, decimal_places=2, max_digits=12, null=True, validators=[django.core.validators.MinValueValidator(Decimal("0.01"))], verbose_name="tell me when the price falls below")),
                    ("price_above", models.DecimalField(blank=True, decimal_places=2, max_digits=12, null=True, validators=[django.core.validators.MinValueValidator(Decimal("0.01"))], verbose_name="tell me when the price rises above")),
                    ("currency", models.CharField(blank=True, choices=CURRENCIES, max_length=3, verbose_name="currency of these prices")),
                    ("price_lowest_days", models.PositiveSmallIntegerField(blank=True, choices=DAYS, null=True, verbose_name="tell me the lowest price in")),
                    ("bsr_threshold", models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(1)], verbose_name="tell me when the rank moves by more than")),
                    ("bsr_unit", models.CharField(blank=True, choices=UNITS, max_length=10, verbose_name="rank threshold in")),
                    ("bsr_way", models.CharField(blank=True, choices=WAYS, max_length=4, verbose_name="rank moves")),
                    ("bsr_outside", models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(1)], verbose_name="tell me when the rank falls out of the top")),
                    ("bsr_best_days", models.PositiveSmallIntegerField(blank=True, choices=DAYS, null=True, verbose_name="tell me the best rank in")),
                    ("rating_threshold", models.DecimalField(blank=True, decimal_places=1, max_digits=2, null=True, validators=[django.core.validators.MinValueValidator(Decimal("0.1")), django.core.validators.MaxValueValidator(4)], verbose_name="tell me when the rating moves by at least (stars)")),
                    ("review_threshold", models.DecimalField(blank=True, decimal_places=2, max_digits=6, null=True, validators=[django.core.validators.MinValueValidator(0)], verbose_name="tell me when the review count moves by more than (%)")),
                    ("rival_percent", models.DecimalField(blank=True, decimal_places=2, help_text="Of each comparison. 0: as soon as a competitor is cheaper.", max_digits=6, null=True, validators=[django.core.validators.MinValueValidator(0)], verbose_name="tell me when my price lies above a competitor's by more than (%)")),
                    ("rival_amount", models.DecimalField(blank=True, decimal_places=2, max_digits=12, null=True, validators=[django.core.validators.MinValueValidator(Decimal("0"))], verbose_name="tell me when my price lies above a competitor's by more than")),
                    ("rival_positions", models.PositiveIntegerField(blank=True, help_text="In the same category. 0: as soon as a competitor's rank is better.", null=True, verbose_name="tell me when my rank falls behind a competitor's by more than (positions)")),
                    ("tell_buybox", models.BooleanField(blank=True, choices=YES_OR_NO, null=True, verbose_name="tell me when the buy box changes hands")),
                    ("tell_availability", models.BooleanField(blank=True, choices=YES_OR_NO, null=True, verbose_name="tell me when availability changes")),
                    ("tell_back", models.BooleanField(blank=True, choices=YES_OR_NO, null=True, verbose_name="tell me when it is back in stock")),
                    ("tell_listing", models.BooleanField(blank=True, choices=YES_OR_NO, null=True, verbose_name="tell me when title, bullets or images change")),
                    ("rearm_minutes", models.PositiveIntegerField(blank=True, help_text="0: every change that crosses its threshold is told.", null=True, verbose_name="stay silent on the same matter for (minutes)")),
                    ("muted_until", models.DateTimeField(blank=True, null=True, verbose_name="tell nothing until")),
                    ("team", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="trackings", to="accounts.team", verbose_name="team")),
                    ("product", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="trackings", to="products.product", verbose_name="product")),
                    ("role", models.CharField(choices=[("own", "own product"), ("competitor", "competitor")], default="own", max_length=10, verbose_name="role")),
                    ("frequency", models.CharField(choices=FREQUENCIES, default="3_daily", max_length=12, verbose_name="looked at")),
                    ("alias", models.CharField(blank=True, max_length=100, verbose_name="your name for it")),
                    ("paused", models.BooleanField(default=False, verbose_name="paused")),
                    ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="added at")),
                    ("removed_at", models.DateTimeField(blank=True, editable=False, null=True, verbose_name="removed at")),
                    ("tags", models.ManyToManyField(blank=True, related_name="trackings", to="products.tag", verbose_name="tags")),
                ],
                options={
                    "verbose_name": "tracking", "verbose_name_plural": "trackings",
                    "indexes": [
                        models.Index(fields=["product", "paused", "frequency"], name="tracking_decides_frequency"),
                        models.Index(fields=["team", "frequency"], name="tracking_of_team_by_frequency"),
                        models.Index(models.F("team"), django.db.models.functions.text.Lower("alias"), models.F("id"), condition=models.Q(("alias__gt", "")), name="tracking_by_alias"),
                        models.Index(condition=models.Q(("paused", True)), fields=["team", "id"], name="tracking_paused"),
                        models.Index(fields=["team", "role", "id"], name="tracking_of_team_by_role"),
                        models.Index(condition=models.Q(("removed_at__isnull", False)), fields=["removed_at"], name="tracking_removed"),
                    ],
                    "constraints": [
                        models.UniqueConstraint(fields=("team", "product"), name="tracking_once_per_team"),
                        models.CheckConstraint(condition=models.Q(("price_threshold__gte", 0), ("price_threshold__lte", 100)), name="tracking_price_threshold_is_percent"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="SearchText",
                fields=[
                    ("product", models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name="searched", serialize=False, to="products.product")),
                    ("text", models.TextField()),
                ],
            ),
            migrations.CreateModel(
                name="DaySpending",
                fields=[
                    ("id", key()),
                    ("day", models.DateField(unique=True, verbose_name="day")),
                    ("micros", models.BigIntegerField(default=0, verbose_name="spent and reserved (millionths of a US dollar)")),
                ],
                options={
                    "verbose_name": "day's spending", "verbose_name_plural": "days' spending",
                    "ordering": ["-day"],
                },
            ),
            migrations.CreateModel(
                name="BudgetUse",
                fields=[
                    ("id", key()),
                    ("key", models.CharField(max_length=40, unique=True, verbose_name="budget")),
                    ("begun_at", models.DateTimeField(verbose_name="begun at")),
                    ("micros", models.BigIntegerField(default=0, verbose_name="spent and reserved (millionths of a US dollar)")),
                ],
                options={
                    "verbose_name": "use of a budget", "verbose_name_plural": "use of budgets",
                    "ordering": ["-key"],
                    "indexes": [
                        models.Index(fields=["begun_at"], name="budget_use_old"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="ScrapeRun",
                fields=[
                    ("id", key()),
                    ("ref", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                    ("apify_id", models.CharField(blank=True, max_length=40, verbose_name="Apify's run id")),
                    ("marketplace", models.CharField(choices=MARKETPLACES, max_length=20, verbose_name="marketplace")),
                    ("asins", models.JSONField(default=list, verbose_name="ASINs")),
                    ("state", models.CharField(choices=[("planned", "planned"), ("starting", "starting"), ("started", "started"), ("ingested", "ingested"), ("failed", "failed")], default="planned", max_length=10, verbose_name="state")),
                    ("attempts", models.PositiveSmallIntegerField(default=0, verbose_name="starts asked for")),
                    ("busy_answers", models.PositiveSmallIntegerField(default=0, verbose_name="busy answers")),
                    ("not_before", models.DateTimeField(blank=True, null=True, verbose_name="not before")),
                    ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="planned at")),
                    ("starting_at", models.DateTimeField(blank=True, null=True, verbose_name="start asked at")),
                    ("started_at", models.DateTimeField(blank=True, null=True, verbose_name="started at")),
                    ("checked_at", models.DateTimeField(blank=True, null=True, verbose_name="last asked at")),
                    ("polls", models.PositiveSmallIntegerField(default=0, verbose_name="times asked")),
                    ("hinted_at", models.DateTimeField(blank=True, null=True, verbose_name="end hinted at")),
                    ("finished_at", models.DateTimeField(blank=True, null=True, verbose_name="finished at")),
                    ("cost_usd", models.DecimalField(blank=True, decimal_places=6, max_digits=10, null=True, verbose_name="cost (USD)")),
                    ("cost_cap_usd", models.DecimalField(decimal_places=6, max_digits=10, verbose_name="cost at most (USD)")),
                    ("shares", models.JSONField(blank=True, default=dict, verbose_name="products that each team pays")),
                    ("error", models.CharField(blank=True, max_length=500, verbose_name="error")),
                    ("stops_planning", models.BooleanField(default=False, verbose_name="stops planning")),
                    ("ask_again_at", models.DateTimeField(blank=True, null=True, verbose_name="asked again at")),
                    ("changes_held", models.BooleanField(default=False, help_text="So many products lost their price or rank at once that the page itself is the likelier cause.", verbose_name="changes held back")),
                ],
                options={
                    "verbose_name": "scrape run", "verbose_name_plural": "scrape runs",
                    "ordering": ["-created_at"],
                    "indexes": [
                        models.Index(fields=["state", "created_at"], name="scrape_run_open"),
                        models.Index(fields=["-created_at"], name="scrape_run_newest_first"),
                        models.Index(condition=models.Q(("stops_planning", True)), fields=["-finished_at"], name="scrape_run_refused"),
                    ],
                    "constraints": [
                        models.UniqueConstraint(condition=models.Q(("apify_id", ""), _negated=True), fields=("apify_id",), name="scrape_run_once_per_apify_run"),
                        models.CheckConstraint(condition=models.Q(models.Q(("state", "started"), _negated=True), models.Q(("apify_id", ""), _negated=True), _connector="OR"), name="scrape_run_started_has_apify_id"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="RunTarget",
                fields=[
                    ("id", key()),
                    ("scrape_run", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="targets", to="products.scraperun", verbose_name="scrape run")),
                    ("product", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="targets", to="products.product", verbose_name="product")),
                    ("asin", models.CharField(max_length=10, verbose_name="ASIN")),
                    ("outcome", models.CharField(choices=[("pending", "pending"), *OUTCOMES], default="pending", max_length=10, verbose_name="outcome")),
                    ("reason", models.CharField(blank=True, max_length=500, verbose_name="reason")),
                    ("answer", models.TextField(blank=True, help_text="What could not be read or stored, kept for 30 days.", verbose_name="answer set aside")),
                ],
                options={
                    "verbose_name": "target", "verbose_name_plural": "targets",
                    "constraints": [
                        models.UniqueConstraint(fields=("scrape_run", "product"), name="target_once_per_run"),
                        models.UniqueConstraint(condition=models.Q(("outcome", "pending")), fields=("product",), name="target_open_once_per_product"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Snapshot",
                fields=[
                    ("id", key()),
                    ("product", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="snapshots", to="products.product", verbose_name="product")),
                    ("scrape_run", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="snapshots", to="products.scraperun", verbose_name="scrape run")),
                    ("taken_at", models.DateTimeField(verbose_name="taken at")),
                    ("price", models.DecimalField(decimal_places=2, max_digits=12, null=True, verbose_name="price")),
                    ("list_price", models.DecimalField(decimal_places=2, max_digits=12, null=True, verbose_name="list price")),
                    ("used_price", models.DecimalField(decimal_places=2, max_digits=12, null=True, verbose_name="used offer")),
                    ("currency", models.CharField(max_length=3, verbose_name="currency")),
                    ("seller", models.CharField(blank=True, max_length=200, verbose_name="buy box seller")),
                    ("seller_id", models.CharField(blank=True, max_length=40, verbose_name="seller's id")),
                    ("fulfilled_by_amazon", models.BooleanField(null=True, verbose_name="fulfilled by Amazon")),
                    ("availability", models.CharField(max_length=12, verbose_name="availability")),
                    ("availability_text", models.CharField(blank=True, max_length=200, verbose_name="availability as shown")),
                    ("rating", models.DecimalField(decimal_places=1, max_digits=2, null=True, verbose_name="rating")),
                    ("review_count", models.PositiveIntegerField(null=True, verbose_name="review count")),
                    ("bought_past_month", models.PositiveIntegerField(null=True, verbose_name="bought past month, at least")),
                    ("content_hash", models.CharField(blank=True, max_length=64)),
                    ("warnings", models.JSONField(default=list, verbose_name="warnings")),
                    ("raw", products.models.rows.PackedJSONField(help_text="Kept for 30 days, without reviews.", null=True, verbose_name="item as answered")),
                ],
                options={
                    "verbose_name": "snapshot", "verbose_name_plural": "snapshots",
                    "ordering": ["-taken_at"],
                    "indexes": [
                        models.Index(fields=["product", "-taken_at"], name="snapshot_history"),
                        models.Index(fields=["taken_at"], name="snapshot_retention"),
                    ],
                    "constraints": [
                        models.UniqueConstraint(fields=("product", "scrape_run"), name="snapshot_once_per_product_and_run"),
                        models.CheckConstraint(condition=models.Q(("price__isnull", True), ("price__gt", 0), _connector="OR"), name="snapshot_price_is_positive"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Change",
                fields=[
                    ("id", key()),
                    ("tracking", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="changes", to="products.tracking", verbose_name="tracking")),
                    ("team", models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="accounts.team", verbose_name="team")),
                    ("snapshot", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="changes", to="products.snapshot", verbose_name="snapshot")),
                    ("kind", models.CharField(choices=[("price_change", "price"), ("bsr_change", "best sellers rank"), ("rating_change", "rating"), ("review_count_change", "review count"), ("buybox_change", "buy box"), ("buybox_lost", "buy box lost"), ("buybox_won", "buy box won back"), ("buybox_new_seller", "new seller in the buy box"), ("availability_change", "availability"), ("listing_change", "listing"), ("rival_price", "price beside a competitor"), ("rival_rank", "rank beside a competitor")], max_length=20, verbose_name="what changed")),
                    ("subject", models.CharField(blank=True, max_length=200, verbose_name="category")),
                    ("before", models.CharField(max_length=200, verbose_name="before")),
                    ("after", models.CharField(max_length=200, verbose_name="after")),
                    ("percent", models.DecimalField(decimal_places=3, max_digits=12, null=True, verbose_name="percent")),
                    ("direction", models.CharField(blank=True, choices=[("up", "up"), ("down", "down"), ("better", "better"), ("worse", "worse"), ("", "other")], max_length=6, verbose_name="direction")),
                    ("severity", models.CharField(choices=[("1_info", "info"), ("2_warning", "warning"), ("3_critical", "critical")], max_length=10, verbose_name="severity")),
                    ("threshold", models.CharField(blank=True, max_length=100, verbose_name="threshold then")),
                    ("before_at", models.DateTimeField(verbose_name="seen before at")),
                    ("seen_at", models.DateTimeField(verbose_name="seen at")),
                    ("acknowledged_at", models.DateTimeField(blank=True, null=True, verbose_name="acknowledged at")),
                ],
                options={
                    "verbose_name": "change", "verbose_name_plural": "changes",
                    "ordering": ["-seen_at", "-pk"],
                    "indexes": [
                        models.Index(fields=["tracking", "kind", "-seen_at"], name="change_last_told"),
                        models.Index(fields=["-seen_at"], name="change_newest_first"),
                        models.Index(fields=["team", "-seen_at", "-id"], name="change_newest_of_team"),
                        models.Index(fields=["team", "severity", "-seen_at", "-id"], name="change_of_team_by_severity"),
                        models.Index(fields=["team", "kind", "-seen_at", "-id"], name="change_of_team_by_kind"),
                        models.Index(condition=models.Q(("acknowledged_at", None)), fields=["team", "-seen_at", "-id"], name="change_open_of_team"),
                    ],
                    "constraints": [
                        models.UniqueConstraint(fields=("tracking", "kind", "snapshot"), name="change_once_per_tracking_and_snapshot"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="SnapshotRank",
                fields=[
                    ("id", key()),
                    ("snapshot", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="ranks", to="products.snapshot", verbose_name="snapshot")),
                    ("category", models.CharField(max_length=200, verbose_name="category")),
                    ("position", models.PositiveSmallIntegerField(verbose_name="position on the page")),
                    ("rank", models.PositiveIntegerField(verbose_name="rank")),
                ],
                options={
                    "verbose_name": "rank", "verbose_name_plural": "ranks",
                    "ordering": ["snapshot", "position"],
                    "constraints": [
                        models.UniqueConstraint(fields=("snapshot", "category"), name="rank_once_per_category"),
                        models.CheckConstraint(condition=models.Q(("rank__gt", 0)), name="rank_is_positive"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Cleanup",
                fields=[
                    ("id", key()),
                    ("kind", models.CharField(choices=[("raw", "raw items after 30 days"), ("answers", "answers set aside after 30 days"), ("changes", "changes after 90 days"), ("targets", "outcomes of runs after 90 days"), ("daily", "snapshots after 90 days, but for one a day"), ("weekly", "snapshots after a year, but for one a week"), ("runs", "scrape runs after two years")], max_length=10, unique=True, verbose_name="what goes")),
                    ("reached_at", models.DateTimeField(null=True, verbose_name="done up to")),
                    ("reached_id", models.BigIntegerField(default=0)),
                    ("begun_at", models.DateTimeField(null=True, verbose_name="begun at")),
                    ("stepped_at", models.DateTimeField(null=True, verbose_name="last step at")),
                    ("ended_at", models.DateTimeField(null=True, verbose_name="ended at")),
                    ("seen", models.BigIntegerField(default=0, verbose_name="rows looked at")),
                    ("gone", models.BigIntegerField(default=0, verbose_name="rows deleted or emptied")),
                ],
                options={
                    "verbose_name": "clean-up", "verbose_name_plural": "clean-ups",
                    "ordering": ["pk"],
                },
            ),
            migrations.CreateModel(
                name="Import",
                fields=[
                    ("id", key()),
                    ("team", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="imports", to="accounts.team", verbose_name="team")),
                    ("kind", models.CharField(choices=[("products", "products"), ("history", "history")], default="products", max_length=10, verbose_name="kind")),
                    ("product", models.ForeignKey(help_text="Of a history.", null=True, on_delete=django.db.models.deletion.CASCADE, related_name="imports", to="products.product", verbose_name="product")),
                    ("name", models.CharField(blank=True, max_length=200, verbose_name="file")),
                    ("state", models.CharField(choices=[("read", "read"), ("taking", "being taken"), ("taken", "taken"), ("undone", "undone")], default="read", max_length=10, verbose_name="state")),
                    ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="read at")),
                    ("taken_at", models.DateTimeField(null=True, verbose_name="taken at")),
                    ("good", models.JSONField(default=list, verbose_name="good lines")),
                    ("wrong", models.JSONField(default=list, verbose_name="wrong lines")),
                    ("repeated", models.JSONField(default=list, verbose_name="repeated lines")),
                    ("watched", models.JSONField(default=list, verbose_name="watched already")),
                    ("columns", models.JSONField(default=dict, verbose_name="columns")),
                    ("added", models.JSONField(default=list, verbose_name="added")),
                    ("count", models.PositiveIntegerField(default=0, verbose_name="added")),
                    ("done", models.PositiveIntegerField(default=0, verbose_name="lines taken")),
                ],
                options={
                    "verbose_name": "import", "verbose_name_plural": "imports",
                    "ordering": ["-pk"],
                    "indexes": [
                        models.Index(fields=["team", "-id"], name="import_newest_of_team"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="ImportedPoint",
                fields=[
                    ("id", key()),
                    ("source", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="points", to="products.import", verbose_name="import")),
                    ("team", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="accounts.team")),
                    ("product", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="imported_points", to="products.product", verbose_name="product")),
                    ("at", models.DateTimeField(verbose_name="time")),
                    ("price", models.DecimalField(decimal_places=2, max_digits=12, null=True, verbose_name="price")),
                    ("bsr", models.PositiveIntegerField(null=True, verbose_name="best sellers rank")),
                ],
                options={
                    "verbose_name": "imported point", "verbose_name_plural": "imported points",
                    "ordering": ["at"],
                    "indexes": [
                        models.Index(fields=["team", "product", "at"], name="imported_history_of_team"),
                    ],
                    "constraints": [
                        models.UniqueConstraint(fields=("source", "at"), name="imported_point_once_per_file"),
                        models.CheckConstraint(condition=models.Q(("price__isnull", True), ("price__gt", 0), _connector="OR"), name="imported_price_is_positive"),
                        models.CheckConstraint(condition=models.Q(("bsr__isnull", True), ("bsr__gt", 0), _connector="OR"), name="imported_rank_is_positive"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Picture",
                fields=[
                    ("product", models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name="picture_row", serialize=False, to="products.product", verbose_name="product")),
                    ("source", models.CharField(max_length=500, verbose_name="address")),
                    ("kind", models.CharField(blank=True, max_length=5, verbose_name="kind of picture")),
                    ("content", models.BinaryField(default=b'')),
                    ("fetched_at", models.DateTimeField(blank=True, null=True, verbose_name="fetched at")),
                    ("due_at", models.DateTimeField(blank=True, null=True, verbose_name="next attempt")),
                    ("attempts", models.PositiveSmallIntegerField(default=0, verbose_name="attempts")),
                    ("error", models.CharField(blank=True, max_length=200, verbose_name="error")),
                ],
                options={
                    "verbose_name": "picture", "verbose_name_plural": "pictures",
                    "indexes": [
                        models.Index(condition=models.Q(("due_at__isnull", False)), fields=["due_at"], name="picture_due"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Round",
                fields=[
                    ("id", key()),
                    ("name", models.CharField(max_length=20, unique=True, verbose_name="round")),
                    ("wanted_at", models.DateTimeField(verbose_name="wanted at")),
                    ("done_at", models.DateTimeField(null=True, verbose_name="done at")),
                ],
                options={
                    "verbose_name": "round", "verbose_name_plural": "rounds",
                    "ordering": ["name"],
                },
            ),
            migrations.CreateModel(
                name="SavedView",
                fields=[
                    ("id", key()),
                    ("team", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="accounts.team", verbose_name="team")),
                    ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="user")),
                    ("name", models.CharField(max_length=40, verbose_name="name")),
                    ("query", models.CharField(blank=True, max_length=2000, verbose_name="what it asks")),
                    ("is_default", models.BooleanField(default=False, verbose_name="the list begins with it")),
                ],
                options={
                    "verbose_name": "saved view", "verbose_name_plural": "saved views",
                    "ordering": ["name"],
                    "constraints": [
                        models.UniqueConstraint(fields=("team", "user", "name"), name="saved_view_once_by_name"),
                        models.UniqueConstraint(condition=models.Q(("is_default", True)), fields=("team", "user"), name="saved_view_begins_a_list_once"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Seller",
                fields=[
                    ("id", key()),
                    ("team", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="sellers", to="accounts.team", verbose_name="team")),
                    ("key", models.CharField(help_text="As in the address of the seller's page: seller=A1B2C3… For Amazon itself its name.", max_length=200, verbose_name="seller's id")),
                    ("name", models.CharField(blank=True, max_length=200, verbose_name="name")),
                    ("is_own", models.BooleanField(default=False, verbose_name="this is us")),
                ],
                options={
                    "verbose_name": "known seller", "verbose_name_plural": "known sellers",
                    "ordering": ["-is_own", "name", "key"],
                    "constraints": [
                        models.UniqueConstraint(fields=("team", "key"), name="seller_once_per_team"),
                    ],
                },
            ),
        ]),
        migrations.RunPython(keep_search_texts, keep_none),
    ]
