"""From a product to its jobs: an operator is led to the monitor, a seller sees no such link."""

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from tests.world import watch

pytestmark = pytest.mark.django_db
