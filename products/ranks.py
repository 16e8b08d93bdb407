"""Best Sellers Ranks, read from the one text in which a product page shows them, in the languages of our sites."""

import re
from dataclasses import dataclass
from typing import Any

LARGEST_RANK = 2_000_000_000
LONGEST_CATEGORY = 200

# The row is found by how its label starts: German "Wasserbeständigkeit" contains "best", and Italian "Composizione
# della batteria" contains "posizione".
LABELS = (
    "best sellers rank",
    "amazon best sellers rank",
    "amazon bestseller-rang",
    "bestseller-rang",
    "classement des meilleures ventes",
    "clasificación en los más vendidos",
    "posizione nella classifica bestseller",
    "plaats in bestsellerlijst",
    "ranking najlepiej sprzedających się",
    "amazon 売れ筋ランキング",
    "売れ筋ランキング",
    "暢銷商品排名",
    "热销商品排名",
)
NUMBER = r"(?:\d{1,3}(?:[.,\s]\d{3})+|\d+)"
SEPARATOR = r"\s(?:in|en|em|i|在|w kategorii)\s"
MARKER = r"#|Nr\.|nº|n\.|Pozycja"
BRACKET = re.compile(r"\((?:[^()]|\([^()]*\))*\)")
FIRST_ENTRY = re.compile(rf"({MARKER})?\s*{NUMBER}{SEPARATOR}", re.IGNORECASE)
JAPANESE_RANK_FIRST = re.compile(rf"({NUMBER})位\s*(.+?)\s*(?=[\s-]\s*{NUMBER}位|$)")
JAPANESE_CATEGORY_FIRST = re.compile(rf"(.+?)\s*-\s*({NUMBER})位\s*")


@dataclass(frozen=True)
class Rank:
    """A position within one category, 1 is best; the category is text in the language of the page."""

    category: str
    rank: int


def is_rank_label(label: str) -> bool:
    """Whether a row of product details with this label holds the ranks."""
    plain = re.sub("[\u200e\u200f]", "", label).replace("’", "'")
    return plain.strip(" :：\u00a0").lower().startswith(LABELS)


def find_ranks(details: Any) -> tuple[Rank, ...]:
    """Answer the ranks in the actor's `productDetails`, in page order; empty when none was seen.

    The main category comes first and the narrowest last. A row of an unexpected shape is passed over.
    """
    rows = [row for row in details if isinstance(row, dict)] if isinstance(details, list) else []
    for row in rows:
        label, text = row.get("name"), row.get("value")
        if isinstance(label, str) and isinstance(text, str) and is_rank_label(label):
            return parse_ranks(text)
    return ()


def parse_ranks(text: str) -> tuple[Rank, ...]:
    """Answer the ranks that a text such as "#73 in Office Products (See Top 100 …) #1 in Paper Trays" names."""
    text = " ".join(re.sub("[\u200e\u200f]", "", text).split())
    text = " ".join(BRACKET.sub(_without_link, text).split())
    ranks: dict[str, Rank] = {}
    for category, number in _entries(text):
        category, rank = category.strip()[:LONGEST_CATEGORY], int(re.sub(r"\D", "", number))
        if category and 0 < rank <= LARGEST_RANK:
            ranks.setdefault(category, Rank(category, rank))
    return tuple(ranks.values())


def _without_link(bracket: re.Match[str]) -> str:
    is_link = "100" in bracket[0] or "の売れ筋ランキングを見る" in bracket[0]
    return "" if is_link else bracket[0]


def _entries(text: str) -> list[tuple[str, str]]:
    if "位" in text:
        if re.match(r"[-\d]", text):
            return [(found[2], found[1]) for found in JAPANESE_RANK_FIRST.finditer(text)]
        return [(found[1], found[2]) for found in JAPANESE_CATEGORY_FIRST.finditer(text)]
    first = FIRST_ENTRY.match(text)
    if first is None:
        return []
    # The first entry fixes the marker; else "2 in 1 Laptops" would be read as a second rank after "#3 in".
    marker = re.escape(first[1] or "")
    start = rf"{marker}\s*{NUMBER}{SEPARATOR}"
    entry = re.compile(rf"{marker}\s*({NUMBER}){SEPARATOR}\s*(.+?)(?=\s+{start}|$)", re.IGNORECASE)
    return [(found[2], found[1]) for found in entry.finditer(text)]
