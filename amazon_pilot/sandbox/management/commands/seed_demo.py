"""Give the first user something to look at: the sandbox's products, four weeks of history, a comparison."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils.timezone import now

from amazon_pilot.jobs.models import ScheduleEntry
from amazon_pilot.jobs.schedule import entries
from amazon_pilot.sandbox import catalogue
from amazon_pilot.sandbox.pictures import drawn
from analysis.models import Comparison
from notifications.models import Channel, ChannelKind
from products.amazon import MARKETPLACES
from products.apify import Receipt, RunAnswer
from products.listing import normalise
from products.models import Frequency, Picture, Product, Role, ScrapeRun, Seller, Tracking

DAYS = 28
# The last of the old looks lies more than a day back, so that every product is due at once.
LAST_LOOK = timedelta(hours=26)
STEP = timedelta(days=1)
OWN = ("B0LAMP0001", "B0FLASK001", "B0KESSEL01", "B0TSUKUE01")
FREQUENCIES = {"B0LAMP0001": Frequency.HOURLY, "B0FLASK001": Frequency.HOURLY, "B0LAMP0002": Frequency.SIX_HOURLY}


class Command(BaseCommand):
    help = "Add the sandbox's products with four weeks of history to the first user's team, unless it has products."

    def handle(self, *args: Any, **options: Any) -> None:
        user = get_user_model()._default_manager.order_by("pk").first()
        if user is None or Tracking.objects.exists():
            return
        team = user.teams.order_by("pk").first()
        with transaction.atomic():
            products = self.track(team)
            for at in instants():
                for marketplace, some in groupby(products, key=lambda product: product.marketplace):
                    look(marketplace, list(some), at)
                say_who_is_who(team)
            show_pictures()
            for (
                asin,
                frequency,
            ) in FREQUENCIES.items():  # only now: an hourly tracking compares nothing a day apart
                Tracking.objects.filter(team=team, product__asin=asin).update(frequency=frequency)
            lamps = [product for product in products if product.asin.startswith("B0LAMP")]
            Comparison.objects.start(team, lamps[0], lamps[1:5], "Desk lamps")
            Channel.objects.create(team=team, user=user, kind=ChannelKind.EMAIL, address=user.email)
        entries.load_settings()
        for entry in ScheduleEntry.objects.all():
            entries.catch_up(entry)
        self.stdout.write(f"  Demo: {len(products)} invented products with {DAYS} days of history.")

    def track(self, team: Any) -> list[Product]:
        """Have a team watch the whole assortment; one product of each kind is its own."""
        identities = [(known.domain, known.asin) for known in catalogue.PRODUCTS]
        products = Product.objects.ensure(sorted(identities))
        Tracking.objects.watch(team, products, Role.COMPETITOR, Frequency.DAILY)
        Tracking.objects.filter(team=team, product__asin__in=OWN).update(role=Role.OWN)
        return products


def say_who_is_who(team: Any) -> None:
    """Once, after the first look: whoever holds the buy box of the own products then is the team itself."""
    if Seller.objects.exists():
        return
    own = Tracking.objects.filter(team=team, role=Role.OWN).exclude(product__seller_id="").select_related("product")
    names = {tracking.product.seller_id: tracking.product.seller for tracking in own}
    Seller.objects.bulk_create(Seller(team=team, key=key, name=name, is_own=True) for key, name in names.items())


def show_pictures() -> None:
    """Keep the pictures that the listings name, as if they had been fetched: no process serves them yet."""
    rows = Product.objects.values_list("pk", "images__0", "picture_row__source")
    for row in Picture.objects.filter(pk__in=Picture.objects.want_all(list(rows))).select_related("product"):
        row.keep("jpeg", drawn(row.product.asin))


def instants() -> Iterator[datetime]:
    """Yield the times of the old looks, oldest first."""
    last = now() - LAST_LOOK
    at = last - timedelta(days=DAYS)
    while at <= last:
        yield at
        at += STEP


def look(marketplace: str, products: list[Product], at: datetime) -> None:
    """Keep what the sandbox showed at an instant of the past, the way a real run is kept."""
    site = MARKETPLACES[marketplace]
    run = ScrapeRun.objects.plan(products)
    if run is None:
        return
    ScrapeRun.objects.filter(pk=run.pk).update(created_at=at)  # so that it counts towards no budget of today
    items = {product.asin: catalogue.item(product.asin, marketplace, at) for product in products}
    listings = tuple(normalise(item, marketplace=site, asked=asin) for asin, item in items.items())
    run.mark_started(Receipt(f"demo{run.ref.hex[:12]}", "demo", at))
    run.ingest(RunAnswer(False, True, "SUCCEEDED", "", listings, Decimal(0), at))
