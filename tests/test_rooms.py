"""The engine's map: its rooms and the arrows between them, how often a type is left open, where a verb stands."""

import re
import tomllib
from pathlib import Path

import grimp
import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
ENGINE = ROOT / "amazon_pilot" / "jobs"
MOST_ROOMS, MOST_ARROWS = 20, 70
# How often the word may stand in a folder of the engine, imports included: at its doors. Lower it where you can.
MOST_ANY = {
    "cli": 4, "core": 5, "history": 12, "inspect": 11, "models": 4, "operate": 4, "schedule": 5, "web": 29,
    "worker": 61,
}  # fmt: skip
MOST_FILES_OF_A_VERB = 5


@pytest.fixture(scope="module")
def arrows() -> set[tuple[str, str]]:
    """Which folder of the engine imports from which, also within functions."""
    graph = grimp.build_graph("amazon_pilot", include_external_packages=False, cache_dir=None)
    modules = {name for name in graph.modules if f"{name}.".startswith("amazon_pilot.jobs.")}
    found = {
        (folder(name), folder(other))
        for name in modules
        for other in graph.find_modules_directly_imported_by(name) & modules
    }
    return {(a, b) for a, b in found if a != b}


def folder(module: str) -> str:
    """Return the folder in which a module's file lies, '' for the engine's own."""
    place = ROOT / module.replace(".", "/")
    return (place if place.is_dir() else place.parent).relative_to(ENGINE).as_posix().removeprefix(".")


def test_there_are_few_rooms_and_few_arrows(arrows):
    assert len({room for arrow in arrows for room in arrow}) <= MOST_ROOMS
    assert 0 < len(arrows) <= MOST_ARROWS


def test_no_arrow_points_upwards(arrows):
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert not any("ignore_imports" in contract for contract in contracts)
    layers = next(each["layers"] for each in contracts if each["name"] == "The engine's rooms")
    height = {room.strip(): -n for n, layer in enumerate(layers) for room in layer.split("|")}
    assert {path.name for path in ENGINE.iterdir() if (path / "__init__.py").exists()} >= set(height)

    placed = [(a.partition("/")[0], b.partition("/")[0]) for a, b in arrows]
    assert [(a, b) for a, b in placed if a in height and b in height and a != b and height[a] <= height[b]] == []


@pytest.mark.parametrize(
    "room", [path.name for path in sorted(ENGINE.iterdir()) if path.is_dir() and any(path.rglob("*.py"))]
)
def test_types_are_left_open_at_the_doors_alone(room):
    words = [word for path in (ENGINE / room).rglob("*.py") for word in re.findall(r"\bAny\b", path.read_text("utf-8"))]
    assert len(words) <= MOST_ANY.get(room, 0)


def test_a_verb_stands_in_few_files():
    sources = [path for path in ENGINE.rglob("*") if path.suffix in (".py", ".lua", ".js")]
    named = [path for path in sources if "snooze" in path.read_text("utf-8")]
    assert 0 < len(named) <= MOST_FILES_OF_A_VERB
