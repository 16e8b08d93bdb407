"""What is sold (Product), watched (Tracking), paid for (ScrapeRun), seen (Snapshot) and found (Change)."""

from .beginning import Beginning
from .bulk_change import BulkChange
from .change import Change, Difference, Direction, Kind, Severity, differences
from .cleanup import Cleanup
from .imports import Import, ImportedPoint, ImportKind, ImportState
from .picture import Picture
from .product import Product, SearchText
from .round import Round
from .rules import Rules, Told, Unit, Way
from .saved_view import SavedView
from .scrape_run import RunTarget, ScrapeRun, State
from .seller import Guard, Seller
from .snapshot import Snapshot, SnapshotRank
from .spending import BudgetSpent, BudgetUse, DaySpending, PlanningStopped, Purses
from .tag import Tag
from .tracking import Frequency, Role, Tracking

__all__ = [
    "Beginning",
    "BudgetSpent",
    "BudgetUse",
    "BulkChange",
    "Change",
    "Cleanup",
    "DaySpending",
    "Difference",
    "Direction",
    "Frequency",
    "Guard",
    "Import",
    "ImportKind",
    "ImportState",
    "ImportedPoint",
    "Kind",
    "Picture",
    "PlanningStopped",
    "Product",
    "Purses",
    "Role",
    "Round",
    "Rules",
    "RunTarget",
    "SavedView",
    "ScrapeRun",
    "SearchText",
    "Seller",
    "Severity",
    "Snapshot",
    "SnapshotRank",
    "State",
    "Tag",
    "Told",
    "Tracking",
    "Unit",
    "Way",
    "differences",
]
