"""From a product to its jobs: an operator is led to the monitor's page about it, a seller sees no such link."""

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("is_staff", "may_look", "is_led"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_the_desk_leads_only_operators_to_the_jobs(client, alice, tracking, is_staff, may_look, is_led):
    User.objects.filter(pk=alice.pk).update(is_staff=is_staff)
    if may_look:
        alice.user_permissions.add(Permission.objects.get(codename="view_jobrun"))
    client.force_login(alice)
    product = tracking.product

    page = client.get(reverse("products:detail", args=[product.marketplace, product.asin])).content.decode()

    assert (reverse("monitor:about", args=[f"product:{product.pk}"]) in page) is is_led


def test_the_admin_leads_to_the_jobs_of_a_product_that_there_is(admin_client, lamp, redis):
    about = reverse("monitor:about", args=[f"product:{lamp.pk}"])

    assert about in admin_client.get(reverse("admin:products_product_change", args=[lamp.pk])).content.decode()
    assert admin_client.get(about).status_code == 200
    assert admin_client.get(reverse("admin:products_product_add")).status_code == 200
