"""Templates can be read: no line is longer than a screen is wide."""

from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
LONGEST = 160
FOLDERS = [
    folder
    for app in ("amazon_pilot", "products", "analysis", "notifications", "accounts", "templates")
    for folder in sorted({path.parent for path in (ROOT / app).rglob("*.html")})
]


def test_every_app_is_looked_at():
    assert len(FOLDERS) >= 10


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_no_line_of_a_template_is_longer_than_160_letters(folder):
    long = [
        f"{path.name}:{number}"
        for path in sorted(folder.glob("*.html"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if len(line) > LONGEST
    ]
    assert long == []
