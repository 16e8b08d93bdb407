"""Which column of a file holds what, by the names that people's programs give them.

The names are those that were seen in exports of Helium 10 (Xray, Black Box), Keepa (viewer and product finder), Jungle
Scout and in Seller Central's listings report, which is written in the language of its marketplace.
"""

import re
import unicodedata
from dataclasses import dataclass, field

from products.amazon import MARKETPLACES
from products.models import Frequency, Role

from .tables import Row

# The first name that a file has wins: "parent asin" names a product only where nothing else does.
NAMES: dict[str, tuple[str, ...]] = {
    "asin": (
        *("asin", "asins", "asin1", "asin 1", "child asin", "product asin", "asin isbn", "isbn", "isbn 10", "asin码"),
        *("商品asin", "product id", "produkt id", "identifiant produit", "id prodotto", "id del producto", "商品id"),
        *("商品 id", "parent asin"),
    ),
    "url": (
        *(
            "url",
            "urls",
            "product url",
            "url amazon",
            "amazon url",
            "amazon link",
            "link",
            "product link",
            "listing url",
        ),
        *("address", "adresse", "produkt url", "商品链接", "链接", "网址", "地址", "商品url"),
    ),
    "marketplace": (
        *("marketplace", "market place", "amazon marketplace", "amazon site", "locale", "domain", "country", "market"),
        *(
            "site",
            "marktplatz",
            "land",
            "place de marché",
            "pays",
            "mercato",
            "paese",
            "mercado",
            "país",
            "站点",
            "市场",
        ),
        "マーケットプレイス",
    ),
    "alias": (
        *("alias", "nickname", "label", "my name", "your name", "your name for it", "own name", "kurzname"),
        *("别名", "您的名称", "您为其起的名称", "自定义名称"),
    ),
    "tags": ("tags", "tag", "labels", "schlagworte", "étiquettes", "标签"),
    "role": ("role", "these are", "type of product", "rolle", "角色"),
    "frequency": ("frequency", "looked at", "look at them", "interval", "häufigkeit", "查看频率", "频率"),
}
# Other columns of the files that we know: with them a line is a header though it holds none of the names above.
BESIDE = (
    *("title", "item name", "product name", "seller sku", "sku", "brand", "price", "quantity", "asin2", "asin3"),
    *("listing id", "open date", "fulfillment channel", "artikelbezeichnung", "händler sku", "preis", "menge"),
    *("titre", "nom du produit", "sku vendeur", "prix", "nome prodotto", "sku venditore", "prezzo", "título"),
    *("sku del vendedor", "precio", "商品名", "出品者sku", "価格", "数量", "商品名称", "卖家sku", "价格"),
)
KNOWN = {*BESIDE, *(name for names in NAMES.values() for name in names)}
ROLES = {
    **dict.fromkeys(
        (
            "own",
            "own product",
            "mine",
            "my product",
            "ours",
            "self",
            "eigenes",
            "eigenes produkt",
            "自有",
            "自有商品",
            "自己",
        ),
        Role.OWN,
    ),
    **dict.fromkeys(
        (
            "competitor",
            "competitors",
            "competition",
            "rival",
            "konkurrent",
            "wettbewerber",
            "竞品",
            "竞争商品",
            "竞争对手",
        ),
        Role.COMPETITOR,
    ),
}
FREQUENCIES = {
    **dict.fromkeys(("hourly", "every hour", "1h", "stündlich", "每小时"), Frequency.HOURLY),
    **dict.fromkeys(
        ("six hourly", "every six hours", "every 6 hours", "6h", "每六小时", "每 6 小时"), Frequency.SIX_HOURLY
    ),
    **dict.fromkeys(("daily", "every day", "day", "24h", "täglich", "每天", "每日"), Frequency.DAILY),
    **dict.fromkeys(("weekly", "every week", "week", "7d", "wöchentlich", "每周"), Frequency.WEEKLY),
}
# Sites by the country that files name: Keepa writes the end of the domain, others a code or a word.
COUNTRIES = {
    **{site.domain.rsplit(".", 1)[1]: site.domain for site in MARKETPLACES.values()},
    **{site.marketplace_id.lower(): site.domain for site in MARKETPLACES.values()},
    **{site.domain.removeprefix("amazon."): site.domain for site in MARKETPLACES.values()},
    **dict.fromkeys(("us", "usa", "united states", "com", "美国"), "amazon.com"),
    **dict.fromkeys(("uk", "gb", "united kingdom", "great britain", "英国"), "amazon.co.uk"),
    **dict.fromkeys(("germany", "deutschland", "德国"), "amazon.de"),
    **dict.fromkeys(("france", "frankreich", "法国"), "amazon.fr"),
    **dict.fromkeys(("italy", "italien", "italia", "意大利"), "amazon.it"),
    **dict.fromkeys(("spain", "spanien", "españa", "西班牙"), "amazon.es"),
    **dict.fromkeys(("japan", "日本"), "amazon.co.jp"),
    **dict.fromkeys(("canada", "kanada", "加拿大"), "amazon.ca"),
    **dict.fromkeys(("mexico", "méxico", "墨西哥"), "amazon.com.mx"),
    **dict.fromkeys(("brazil", "brasil", "巴西"), "amazon.com.br"),
    **dict.fromkeys(("netherlands", "niederlande", "nederland", "荷兰"), "amazon.nl"),
    **dict.fromkeys(("belgium", "belgien", "belgique", "比利时"), "amazon.com.be"),
    **dict.fromkeys(("ireland", "irland", "爱尔兰"), "amazon.ie"),
    **dict.fromkeys(("sweden", "schweden", "sverige", "瑞典"), "amazon.se"),
    **dict.fromkeys(("poland", "polen", "polska", "波兰"), "amazon.pl"),
    **dict.fromkeys(("turkey", "türkiye", "türkei", "土耳其"), "amazon.com.tr"),
    **dict.fromkeys(("united arab emirates", "uae", "阿联酋"), "amazon.ae"),
    **dict.fromkeys(("saudi arabia", "ksa", "沙特阿拉伯"), "amazon.sa"),
    **dict.fromkeys(("egypt", "埃及"), "amazon.eg"),
    **dict.fromkeys(("india", "indien", "印度"), "amazon.in"),
    **dict.fromkeys(("singapore", "singapur", "新加坡"), "amazon.sg"),
    **dict.fromkeys(("australia", "australien", "澳大利亚"), "amazon.com.au"),
    **dict.fromkeys(("south africa", "südafrika", "南非"), "amazon.co.za"),
}


@dataclass(frozen=True)
class Columns:
    """Where each thing stands, by its place in a row; `ignored` are the names of columns that we do not take."""

    places: dict[str, int] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)

    def cell(self, row: Row, what: str) -> str:
        """Return what a row says of something, an empty text where it says nothing."""
        place = self.places.get(what, len(row.cells))
        return row.cells[place] if place < len(row.cells) else ""

    @property
    def name_products(self) -> bool:
        """Whether a column says which products are meant."""
        return "asin" in self.places or "url" in self.places


def word(text: str) -> str:
    """Return a text as names are compared: small letters, without signs between the words."""
    plain = unicodedata.normalize("NFKC", text[:100]).casefold()
    return " ".join(re.sub(r"[^\w]+|_", " ", plain).split())


def count_names(cells: list[str]) -> int:
    """Return how many cells of a row are names of columns that we know."""
    return sum(word(cell) in KNOWN for cell in cells[:100])


def find_columns(row: Row) -> Columns:
    """Return what the cells of a header name."""
    words = [word(cell) for cell in row.cells]
    places = {
        what: words.index(found)
        for what, names in NAMES.items()
        if (found := next((name for name in names if name in words), None))
    }
    ignored = [cell[:60] for place, cell in enumerate(row.cells) if cell and place not in places.values()]
    return Columns(places, ignored)


def find_header(rows: list[Row]) -> tuple[Columns, list[Row]]:
    """Return the columns that the header names, and the rows behind it; none and all rows where there is no header.

    Some programs write a few lines about themselves first, so the header is looked for in the first twenty.
    """
    for place, row in enumerate(rows[:20]):
        columns = find_columns(row)
        if columns.name_products:
            return columns, rows[place + 1 :]
    return Columns(), rows


def find_site(text: str) -> str | None:
    """Return the marketplace that a cell names by domain, id, code or country, or None for one that we do not know."""
    plain = text.strip().casefold().removeprefix("https://").removeprefix("www.").rstrip("/")
    if plain in MARKETPLACES:
        return plain
    return COUNTRIES.get(plain.removeprefix("amazon.")) or COUNTRIES.get(word(text).removeprefix("amazon "))
