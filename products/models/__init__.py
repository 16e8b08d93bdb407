"""What is sold (Product), watched (Tracking), paid for (ScrapeRun), seen (Snapshot) and found (Change)."""

from .change import Change, Difference, Direction, Kind, Severity, differences
from .product import Product
from .scrape_run import PlanningStopped, RunTarget, ScrapeRun, State
from .snapshot import Snapshot, SnapshotRank
from .tracking import Frequency, Role, Tracking, Unit

__all__ = [
    "Change",
    "Difference",
    "Direction",
    "Frequency",
    "Kind",
    "PlanningStopped",
    "Product",
    "Role",
    "RunTarget",
    "ScrapeRun",
    "Severity",
    "Snapshot",
    "SnapshotRank",
    "State",
    "Tracking",
    "Unit",
    "differences",
]
