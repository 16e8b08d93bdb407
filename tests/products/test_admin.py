"""The admin of products: every action that does something needs the right to change, and looking changes nothing."""

from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import RequestFactory
from django.urls import reverse
from django.utils.timezone import now

from amazon_pilot.jobs.models import AuditEntry
from products import models
from products.models import Product, ScrapeRun
from tests.world import enqueued

OURS = [model for model in admin.site._registry if model._meta.app_label == "products"]
ACTIONS = [
    (model, name) for model in OURS for name in (admin.site._registry[model].actions or ()) if isinstance(name, str)
]


@pytest.fixture
def rows(lamp):
    ScrapeRun.objects.create(
        marketplace="amazon.com", cost_cap_usd=1, state="failed", stops_planning=True, finished_at=now(),
        ask_again_at=now() + timedelta(hours=1),
    )  # fmt: skip
    ScrapeRun.objects.create(marketplace="amazon.com", cost_cap_usd=1, state="started", apify_id="x", started_at=now())


def staff(*codenames: str) -> User:
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def press(client, model, name):
    address = reverse(f"admin:products_{model._meta.model_name}_changelist")
    chosen = list(model.objects.values_list("pk", flat=True))
    return client.post(address, {"action": name, "_selected_action": chosen}, follow=True)


def state() -> list[object]:
    runs = list(ScrapeRun.objects.order_by("pk").values_list("state", "stops_planning"))
    products = list(Product.objects.values_list("monitored", "asked_at"))
    return [runs, products, enqueued(), AuditEntry.objects.count()]


@pytest.mark.parametrize(("model", "name"), ACTIONS)
def test_who_may_only_look_presses_nothing(client, rows, model, name, django_capture_on_commit_callbacks):
    client.force_login(staff(f"view_{model._meta.model_name}"))
    before = state()

    with django_capture_on_commit_callbacks(execute=True):
        answer = press(client, model, name)

    assert answer.status_code == 200
    assert state() == before
    assert f'value="{name}"' not in answer.content.decode()


@pytest.mark.parametrize(("model", "name"), ACTIONS)
def test_who_may_change_presses_each(client, rows, model, name, django_capture_on_commit_callbacks):
    client.force_login(staff(f"view_{model._meta.model_name}", f"change_{model._meta.model_name}"))
    before = state()

    with django_capture_on_commit_callbacks(execute=True):
        press(client, model, name)

    assert state() != before
    assert AuditEntry.objects.count() == before[-1] + 1


def test_all_actions_are_known_to_these_tests():
    assert {name for _model, name in ACTIONS} == {"update_now", "monitor", "leave_alone", "collect", "resume_planning"}


@pytest.mark.parametrize("model", OURS)
def test_every_action_of_every_page_asks_for_a_right(model, db):
    request = RequestFactory().get("/")
    request.user = staff(f"view_{model._meta.model_name}")

    assert set(admin.site._registry[model].get_actions(request)) == set()


def test_what_only_the_machine_writes_has_no_form(client, rows, admin_client):
    for model in (models.ScrapeRun, models.RunTarget, models.DaySpending, models.Snapshot, models.Change):
        assert admin_client.get(reverse(f"admin:products_{model._meta.model_name}_changelist")).status_code == 200
        assert admin_client.get(reverse(f"admin:products_{model._meta.model_name}_add")).status_code == 403
