"""Best Sellers Ranks, read from the one text in which a product page shows them, in the languages of our sites."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from products.numerals import GROUPED, latin_digits

LARGEST_RANK = 2_000_000_000
LONGEST_CATEGORY, LONGEST_TEXT = 200, 4000

# The row is found by how its label starts: German "Wasserbeständigkeit" contains "best", and Italian "Composizione
# della batteria" contains "posizione". Hyphens and the blank behind "Amazon" come and go, so labels() drops them.
LABELS = tuple(
    label.replace(" ", "")
    for label in (
        *("best sellers rank", "bestseller rank", "bestsellers rank", "bestseller rang", "bestsellerrang"),
        *("classement des meilleures ventes", "classement meilleures ventes"),
        *("clasificación en los más vendidos", "clasificación en los mejores vendidos", "posición en los más vendidos"),
        *("posizione nella classifica bestseller", "ranking dos mais vendidos", "classificação de mais vendidos"),
        *("posição no ranking dos mais vendidos", "plaats in bestsellerlijst", "bestsellerlijst", "rangordning för b"),
        *("rankning för bästsäljare", "placering på bästsäljarlistan", "bästsäljarranking", "ranking bestsellerów"),
        *("ranking najlepiej sprzedających się", "pozycja w rankingu", "en çok satanlar sıralaması"),
        *("çok satanlar sıralaması", "çok satanlar sırası", "تصنيف الأفضل مبيعا", "الترتيب في قائمة الأفضل مبيعا"),
        *("ترتيب الأفضل مبيعا", "सर्वश्रेष्ठ विक्रेता रैंक", "बेस्ट सेलर रैंक", "बेस्ट सेलर्स रैंक"),
        *(
            "売れ筋ランキング",
            "ベストセラー ランキング",
            "暢銷商品排名",
            "暢銷排名",
            "热销商品排名",
            "畅销商品排名",
            "亚马逊热销商品排名",
        ),
        *("베스트셀러 순위", "순위"),
    )
)
SEPARATOR = (
    r"\s*(?:(?:Paid|Free|de pago|gratis|gratuits?|payants?|kostenlos|bezahlt)\s+)?"
    r"(?:(?<=\s)(?:in|en|em|na|no|i|w kategorii|w|في|में)\s|在\s?)"
)
# What stands before a number: "#", "Nr.", "nº", "n.º", "n.°", "n°", "No.", "n.", "Nº", "Pozycja", in any mixture.
MARKER = re.compile(
    r"(?:#|№|\b(?:nr|no|n)\s?\.?\s?[º°]|\b(?:nr|no|n)\s?\.|\bnr\b|\bpozycja\b|رقم)\s*(?=\d)", re.IGNORECASE
)
BRACKET = re.compile(r"\((?:[^()]|\([^()]*\))*\)")
LINK = re.compile(
    r"\b(?:see|siehe|top|voir|ver|vedi|visualizza|conheça|bekijk|zie|visa|se|zobacz|ilk|gör\w*|premiers)\b"
    r"|参阅|參閱|查看|見る|보기|شاهد|عرض|देखें|前\s?100",
    re.IGNORECASE,
)
# Rows that follow when the actor runs several into one text; the category ends where they begin.
NEXT_ROW = re.compile(
    r"\s(?:customer reviews|date first available|asin|manufacturer|item model|kundenrezensionen|durchschnittliche"
    r"|im angebot|commentaires client|moyenne des|disponible sur|opiniones de|valoraci|producto en amazon"
    r"|recensioni|media recensioni|disponibile su|avaliaç|disponível|klantenrecensies|klantbeoordelingen"
    r"|kundrecensioner"
    r"|recenzje|opinie klient|müşteri yorum|مراجعات|ग्राहक"
    r"|カスタマーレビュー|おすすめ度|客户评论|用户评分|買家評論|고객)[^:：]*[:：]?.*$",
    re.IGNORECASE,
)
FIRST_ENTRY = re.compile(rf"(#)?\s*{GROUPED}{SEPARATOR}", re.IGNORECASE)
JAPANESE_RANK_FIRST = re.compile(rf"({GROUPED})位\s*(.+?)\s*(?=[\s-]\s*{GROUPED}位|$)")
JAPANESE_CATEGORY_FIRST = re.compile(rf"(.+?)\s*-\s*({GROUPED})位\s*")
KOREAN = re.compile(rf"(.+?)에서\s*({GROUPED})위\s*")
TURKISH = re.compile(rf"(.+?)\s+(?:kategorisinde|içinde)\s+#?({GROUPED})\.?(?:\s*sırada)?\s*,?\s*")


LABEL_NOISE, DIRECTION = re.compile(r"[\s:：\u00a0-]"), re.compile("[\u200e\u200f]")
UNSEEN = re.compile("[\u200e\u200f\ud800-\udfff\x00]")
# The first entry fixes the marker; else "2 in 1 Laptops" would be read as a second rank after "#3 in".
ENTRIES = {
    marker: re.compile(
        rf"{marker}\s*({GROUPED}){SEPARATOR}\s*(.+?)(?=\s+{marker}\s*{GROUPED}{SEPARATOR}|$)", re.IGNORECASE
    )
    for marker in ("", "#")
}


@dataclass(frozen=True)
class Rank:
    """A position within one category, 1 is best; the category is text in the language of the page."""

    category: str
    rank: int


def is_rank_label(label: str) -> bool:
    """Whether a row of product details with this label holds the ranks."""
    return _is_rank_label(label[:200])


@lru_cache(1000)
def _is_rank_label(label: str) -> bool:
    plain = DIRECTION.sub("", label).replace("’", "'").lower()
    return LABEL_NOISE.sub("", plain).removeprefix("amazon").startswith(LABELS)


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
    text = latin_digits(UNSEEN.sub("", text[:LONGEST_TEXT]))
    text = " ".join(text.replace("（", "(").replace("）", ")").split())
    text = " ".join(BRACKET.sub(_without_link, NEXT_ROW.sub("", text)).split())
    ranks: dict[str, Rank] = {}
    for category, number in _entries(MARKER.sub("#", text)):
        category, rank = category.strip(" ,;>›-")[:LONGEST_CATEGORY].strip(), int(re.sub(r"\D", "", number)[:12])
        # A colon belongs to a row that nobody knows: where the category ends cannot be told.
        if category and not re.search("[:：]", category) and 0 < rank <= LARGEST_RANK:
            ranks.setdefault(category, Rank(category, rank))
    return tuple(ranks.values())


def _without_link(bracket: re.Match[str]) -> str:
    is_link = ("100" in bracket[0] and LINK.search(bracket[0])) or "の売れ筋ランキングを見る" in bracket[0]
    return "" if is_link else bracket[0]


def _entries(text: str) -> list[tuple[str, str]]:
    if "位" in text:
        if re.match(r"[-\d]", text):
            return [(found[2], found[1]) for found in JAPANESE_RANK_FIRST.finditer(text)]
        return [(found[1], found[2]) for found in JAPANESE_CATEGORY_FIRST.finditer(text)]
    for suffixed in (KOREAN, TURKISH):
        if suffixed.match(text):
            return [(found[1], found[2]) for found in suffixed.finditer(text)]
    first = FIRST_ENTRY.match(text)
    if first is None:
        return []
    return [(found[2], found[1]) for found in ENTRIES[first[1] or ""].finditer(text)]
