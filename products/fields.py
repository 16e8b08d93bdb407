"""Single fields of an actor item: each function answers what was seen, or None for an absent or unexpected value."""

import json
import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from products.numerals import EXACT, GROUPED, MARK, latin_digits

LARGEST_COUNT = 2_000_000_000
# How the row of the brand is named and how the line under the title is worded. English and Chinese were seen; the
# other languages of our sites are worded as their pages show it, and a line that fits none is kept whole.
BRAND_NAMES = (
    *("brand", "brand name", "marke", "markenname", "marque", "nom de marque", "nom de la marque", "marca"),
    *("nombre de la marca", "nome del marchio", "nome marca", "nome da marca", "merk", "merknaam", "märke"),
    *("varumärke", "varumärkesnamn", "marka", "nazwa marki", "marka adı", "العلامة التجارية", "اسم العلامة التجارية"),
    *("ब्रांड", "ब्रैंड", "品牌", "品牌名", "品牌名称", "ブランド", "ブランド名", "브랜드"),
)
BYLINES = "Brand|Marke|Marque|Marca|Merk|Märke|Varumärke|Marka|العلامة التجارية|ब्रांड|品牌|ブランド|브랜드"
BRAND_FRAMES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"Visit the (.+) Store",
        rf"(?:{BYLINES})\s*[:：]\s*(.+)",
        r"Besuchen? (?:Sie )?den (.+?)[- ]Store",
        r"Visit(?:er|ez) la boutique (?:de )?(.+)",
        r"Visita lo store di (.+)",
        r"Visita la tienda de (.+)",
        r"Visitar? a loja (?:da |de |do )?(.+)",
        r"Bezoek de (.+?)[- ](?:Store|winkel)",
        r"Besök (.+?)[- ](?:butiken|Store)",
        r"Odwiedź sklep (.+)",
        r"(.+?) (?:Store|Mağazası)[’']?n?ı ziyaret edin",
        r"(.+)のストアを表示",
        r"(?:访问|瀏覽|造訪|查看)\s*(.+?)\s*(?:品牌旗舰店|旗舰店|商店|店舖|的店)",
        r"(.+?)\s*스토어 방문하기",
    )
)
# The first fitting sign counts: "R$" and "MX$" hold the dollar of others.
CURRENCY_SIGNS = {
    "R$": {"BRL"},
    "MX$": {"MXN"},
    "CDN$": {"CAD"},
    "CA$": {"CAD"},
    "AU$": {"AUD"},
    "A$": {"AUD"},
    "US$": {"USD"},
    "S$": {"SGD"},
    "$": {"USD", "CAD", "MXN", "AUD", "SGD"},
    "€": {"EUR"},
    "£": {"GBP"},
    "₹": {"INR"},
    "₺": {"TRY"},
    "zł": {"PLN"},
    "¥": {"JPY"},
    "円": {"JPY"},
}
CODES = "USD|EUR|GBP|JPY|CAD|AUD|CHF|CNY|HKD|INR|MXN|PLN|SEK|SGD|TWD|BRL|TRY|AED|SAR|EGP|ZAR|NOK|DKK"
# A code counts beside a digit only: "TRY" is a word as well.
CURRENCY_WORD = re.compile(
    "|".join(map(re.escape, CURRENCY_SIGNS)) + rf"|\b(?:{CODES})(?=\s?\d)|(?<=\d)\s?(?:{CODES})\b|^(?:{CODES})$"
)
# PostgreSQL refuses NUL, and no database takes half of a pair, which JavaScript leaves where it cuts an emoji.
UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
DEEPEST, LONGEST, MOST_VALUES, LARGEST_WHOLE = 12, 20_000, 2_000, 2**63
PRIVATE = re.compile(r'"(?:reviews|globalReviews|reviewInsights|customerVoices)"\s*:')
MONTH_WORDS = (
    r"month|monat|mois|mese|\bmes\b|m[eê]s passado|maand|månad|miesiąc|ay|الشهر|महीने|か月|ヶ月|个月|個月|개월|한 달"
)
BOUGHT_WORDS = (
    r"bought|gekauft|gekocht|achat|achet|acquist|compra|köpt|kupion|satın al|شراء|خरीद|खरीद|購入|购买|購買|구매"
)
MULTIPLIERS = {
    **dict.fromkeys(("k", "mil", "tsd", "tys", "bin", "千", "천"), 1_000),
    **dict.fromkeys(("万", "萬", "만"), 10_000),
    "m": 1_000_000,
}
# Kept of the raw item. A list of what to keep, since an unknown key could hold what reviewers wrote.
RAW_KEYS = (
    "statusCode",
    "statusMessage",
    "url",
    "title",
    "manufacturer",
    "countReview",
    "productRating",
    "asin",
    "soldBy",
    "fulfilledBy",
    "sellerId",
    "warehouseAvailability",
    "retailPrice",
    "price",
    "priceRange",
    "shippingPrice",
    "priceShippingInformation",
    "priceSaving",
    "features",
    "imageUrlList",
    "videoeUrlList",
    "productDescription",
    "productDetails",
    "minimalQuantity",
    "productSpecification",
    "mainImage",
    "variations",
    "bookVariations",
    "categoriesExtended",
    "deliveryMessage",
    "importantInformation",
    "buyBoxUsed",
    "aboutProduct",
    "deal",
    "prime",
    "used",
    "pastSales",
    "error",
    "#error",
    "inputUrl",
    "parentAsin",
    "bestSellersRank",
    "currency",
)


def clean(value: str) -> str:
    """Answer a text without the signs that a database refuses."""
    return value if value.isprintable() else UNSTORABLE.sub("", value)


def text(raw: Any, limit: int = 2000) -> str | None:
    """Answer a text that can be stored, without outer blanks, cut at `limit`."""
    if not isinstance(raw, str):
        return None
    return clean(raw).strip()[:limit].strip() or None


def texts(raw: Any, most: int) -> tuple[str, ...]:
    """Answer the texts of a list, without empty ones, at most `most`."""
    found = [text(value) for value in raw] if isinstance(raw, list) else []
    return tuple(value for value in found if value)[:most]


def mappings(raw: Any) -> list[Mapping[str, Any]]:
    """Answer the objects of a list; anything else in it is passed over."""
    return [value for value in raw if isinstance(value, (dict, Mapping))] if isinstance(raw, list) else []


def names(raw: Any) -> tuple[str, ...]:
    """Answer the `name` of each object of a list, such as the breadcrumb of categories."""
    return texts([value.get("name") for value in mappings(raw)], 20)


def flag(raw: Any) -> bool | None:
    """Answer a truth value."""
    return raw if isinstance(raw, bool) else None


def holds_any(raw: Any) -> bool | None:
    """Whether a list holds anything."""
    return bool(raw) if isinstance(raw, list) else None


STARS = r"[1-5](?:[.,]\d{1,2})?"
FIVE = r"5(?:[.,]0)?(?![.,]?\d)"
UNIT = (
    r"(?:stars?|sterne?n?|étoiles?|estrellas?|estrelas?|stelle|sterren|stjärnor|gwiazdek|yıldız|نجوم|स्टार|顆星|颗星|★)"
)
RATINGS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"({STARS})\s*{UNIT}?",
        rf"({STARS})\s*{UNIT}?\s*(?:out of|of|von|sur|de|di|su|van|av|z|em|من|/|,?\s*最高|,?\s*最多)\s*{FIVE}\b.*",
        rf"{FIVE}\s*(?:つ星のうち|つ星中の?|yıldız üzerinden|में से|من|점 만점에)\s*({STARS})(?![.,]?\d).*",
        rf"(?:星|별)\s*{FIVE}\s*(?:つ中の|개 중)\s*({STARS})(?![.,]?\d).*",
    )
)


def rating(raw: Any) -> Decimal | None:
    """Answer the stars, 1.0 to 5.0, from "4.4 out of 5 stars" in the languages of our sites.

    A text has to say which of its numbers is the scale, by the words between them, or be a bare number: the scale
    alone ("out of 5 stars") is no rating.
    """
    if isinstance(raw, bool) or not isinstance(raw, (str, int, float, Decimal)):
        return None
    plain = latin_digits(unicodedata.normalize("NFKC", str(raw)[:200])).strip()
    found = next((match[1] for pattern in RATINGS if (match := pattern.fullmatch(plain))), None)
    stars = Decimal(found.replace(",", ".")) if found else None
    return stars.quantize(Decimal("0.1")) if stars and 1 <= stars <= 5 else None


def count(raw: Any) -> int | None:
    """Answer a number of reviews, from a number or from "1,234 ratings" with any mark for thousands."""
    if isinstance(raw, bool) or (isinstance(raw, Decimal) and not raw.is_finite()):
        return None
    if isinstance(raw, (int, Decimal, float)):
        return int(raw) if 0 <= raw <= LARGEST_COUNT and raw == int(raw) else None
    # Digits with a letter or a word for thousands behind them are an abbreviation, which no page uses for this number.
    plain = latin_digits(raw[:100]) if isinstance(raw, str) else ""
    found = re.match(rf"\s*({GROUPED}){EXACT}", plain, re.IGNORECASE)
    return int(re.sub(r"\D", "", found[1])) if found and len(found[1]) < 14 else None


def bought_past_month(raw: Any) -> int | None:
    """Answer the lower bound in "10K+ bought in past month"; a text with another number in it is not read.

    The English wording was seen; other languages are read when they speak of buying and of a month.
    """
    plain = latin_digits(unicodedata.normalize("NFKC", raw[:200])).lower() if isinstance(raw, str) else ""
    if not (re.search(MONTH_WORDS, plain) and re.search(BOUGHT_WORDS, plain)):
        return None
    plain = re.sub(r"過去\s?1\s?(?:か|ヶ)月|过去\s?1\s?个月|過去\s?1\s?個月|지난\s?1\s?개월", "", plain)
    numbers = re.findall(rf"(\d+(?:{MARK}\d+)*)(?:\s?((?:{'|'.join(MULTIPLIERS)})(?![a-z]))|([a-z]?))", plain)
    if len(numbers) != 1 or numbers[0][2]:
        return None
    digits, unit, _letter = numbers[0]
    if unit and re.fullmatch(r"\d{1,4}(?:[.,]\d{1,2})?", digits):
        number = int(Decimal(digits.replace(",", ".")) * MULTIPLIERS[unit])
    elif not unit and re.fullmatch(GROUPED, digits):
        number = int(re.sub(r"\D", "", digits)[:12])
    else:
        return None
    return number if number <= LARGEST_COUNT else None


def is_by_amazon(raw: Any) -> bool | None:
    """Whether Amazon ships it; None without an offer."""
    shipper = text(raw)
    return shipper.lower().startswith("amazon") if shipper else None


def brand(about: Any, manufacturer: Any) -> str | None:
    """Answer the brand: the row named so in `aboutProduct`, else `manufacturer` without the words around it.

    The actor's `manufacturer` is the line under the title ("Visit the X Store"), not a manufacturer.
    """
    for row in mappings(about):
        label, value = text(row.get("name")), text(row.get("value"), 200)
        if label and value and _plain(label).lower() in BRAND_NAMES:
            return _plain(value) or None
    line = text(manufacturer, 200)
    if line is None:
        return None
    frames = (frame.fullmatch(line) for frame in BRAND_FRAMES)
    return next((found[1].strip() for found in frames if found), line)


def _plain(value: str) -> str:
    return re.sub("[\u200e\u200f]", "", value).strip(" :：")


def other_currency(item: Mapping[str, Any], currency: str) -> str | None:
    """Answer the currency that any field shows when it is not `currency`; then the price cannot be trusted.

    Amazon may show prices in the visitor's currency. The item has no currency of its own, so a sign gives it away.
    """
    shown = [item.get("currency"), item.get("priceShippingInformation"), item.get("deliveryMessage")]
    prices = (item.get("price"), item.get("retailPrice"))
    shown += [price.get("currency") if isinstance(price, Mapping) else price for price in prices]
    for value in shown:
        for found in CURRENCY_WORD.finditer(unicodedata.normalize("NFKC", value)) if isinstance(value, str) else ():
            word = found[0].strip()
            if currency not in CURRENCY_SIGNS.get(word, {word}):
                return word
    return None


def without_reviews(item: Mapping[str, Any]) -> dict[str, Any]:
    """Answer what may be kept of the item: nothing that a reviewer wrote or is called by, decimals as text."""
    kept = {key: storable(item[key]) for key in RAW_KEYS if key in item}
    insights = item.get("reviewInsights")
    if isinstance(insights, Mapping):
        kept["reviewInsights"] = {"summary": text(insights.get("summary")), "banner": text(insights.get("banner"))}
    return kept


def storable(value: Any, depth: int = DEEPEST) -> Any:
    """Answer a value that fits a JSON column of any database, whatever it was.

    Decimals become text, as a float loses cents; what is nested too deep, too long or of no JSON type is cut.
    """
    kind = type(value)  # what JSON gives is of exactly these types, and this is asked of each value of each item
    if kind is str:
        return value if len(value) <= LONGEST and value.isprintable() else clean(value)[:LONGEST]
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -LARGEST_WHOLE < value < LARGEST_WHOLE else "…"
    if kind is dict or isinstance(value, Mapping):
        rows = list(value.items())[:MOST_VALUES]
        return {clean(str(key))[:200]: storable(inner, depth - 1) for key, inner in rows} if depth else "…"
    if isinstance(value, list):
        return [storable(inner, depth - 1) for inner in value[:MOST_VALUES]] if depth else "…"
    if isinstance(value, str | int):  # of a kind of its own
        return storable(str(value) if isinstance(value, str) else int(value), depth)
    return str(value)[:LONGEST] if isinstance(value, Decimal | float) else "…"


def shown_text(item: Any) -> str:
    """Answer what a person may read of an item that was set aside: cleaned, bounded, nothing of reviewers.

    A text that could not be read as JSON is cut where the first part about reviewers begins.
    """
    if isinstance(item, Mapping):
        return json.dumps(without_reviews(item), ensure_ascii=False)[:LONGEST]
    return clean(PRIVATE.split(str(item), maxsplit=1)[0])[:LONGEST]
