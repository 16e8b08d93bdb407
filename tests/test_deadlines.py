"""Deadlines: what a server asks us to wait, read from its header."""

from datetime import timedelta
from email.utils import format_datetime

import pytest
from django.utils import timezone

from amazon_pilot.deadlines import seconds_to_wait


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("17", 17),
        ("0.5", 0.5),
        ("-3", 0),
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e400", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)
def test_a_wait_is_a_number_of_seconds_or_unknown(header, seconds):
    assert seconds_to_wait(header) == seconds


def test_a_wait_may_be_given_as_a_date():
    at = timezone.now() + timedelta(seconds=90)

    assert 80 < (seconds_to_wait(format_datetime(at, usegmt=True)) or 0) <= 90
