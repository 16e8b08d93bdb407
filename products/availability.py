"""Whether a product can be bought, read from the sentence beside "Add to cart" in the languages of our sites.

The English sentences and 現貨 were seen; the wording of the other languages is that of their pages as sellers quote it.
What fits no rule is unknown, and a sentence with a word of denial or of the future in it is never in stock.
"""

import re
import unicodedata
from functools import lru_cache

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from products.numerals import latin_digits


class Availability(TextChoices):
    """Whether the new offer can be bought; `no_offer` means that nobody sells it new, `unknown` that we cannot tell."""

    IN_STOCK = "in_stock", _("In stock")
    LOW_STOCK = "low_stock", _("Low stock")
    PREORDER = "preorder", _("Pre-order")
    UNAVAILABLE = "unavailable", _("Unavailable")
    NO_OFFER = "no_offer", _("No offer")
    UNKNOWN = "unknown", _("Unknown")


UNAVAILABLE = (
    r"unavailable|out of stock|not (?:currently |yet )?(?:in stock|available)|no longer available|sold out"
    r"|nicht (?:mehr )?(?:verfügbar|auf lager|lieferbar|vorrätig|erhältlich)|ausverkauft"
    r"|indisponible|rupture de stock|épuisé|plus disponible|pas (?:disponible|en stock)"
    r"|no (?:está )?disponible|agotado|sin existencias|sin stock|fuera de stock"
    r"|non (?:è |al momento )*disponibil|esaurito|non in magazzino"
    r"|indispon[ií]vel|não dispon[ií]vel|esgotado|fora de estoque|sem estoque"
    r"|niet (?:op voorraad|beschikbaar|leverbaar|verkrijgbaar)|uitverkocht|niet meer (?:leverbaar|beschikbaar)"
    r"|inte (?:i lager|tillgänglig)|ej (?:i lager|tillgänglig)|slut i lager|slutsåld|tillfälligt slut|otillgänglig"
    r"|niedostępn|brak w magazynie|chwilowo brak|wyprzedan|nie ?dostępn"
    r"|mevcut değil|stokta yok|stoklar[ıi]m[ıi]zda yok|tükendi"
    r"|غير متوفر|غير متاح|نفد|نفذ"
    r"|उपलब्ध नहीं|स्टॉक में नहीं|स्टॉक ख़?त्म|अनुपलब्ध"
    r"|在庫切れ|在庫なし|在庫がありません|品切れ|お取り扱いできません|入荷未定|売り切れ"
    r"|目前無法|目前无法|无货|無貨|缺货|缺貨|暂时缺|售完|售罄"
    r"|품절|재고 ?없음|구매할 수 없|이용할 수 없"
)
PREORDER = (
    r"pre-?order|will be released|releases? on|not yet (?:been )?released|vorbestell|erscheint am|précommand|sortie le"
    r"|prevent[ao]|reserva (?:ahora|ya|este)|a la venta el|preordin|prenota|disponibile (?:a partire )?dal"
    r"|pré-?venda|pr[ée]-?encomend|vooraf bestellen|pre-?orderen|verschijnt op|förbeställ|förhandsbok|släpps den"
    r"|przedsprzedaż|zamów przed|premiera|ön sipariş|طلب مسبق|الطلب المسبق|प्री-?ऑर्डर"
    r"|予約|発売予定|预订|預訂|预购|預購|예약"
)
LOW_STOCK = (
    r"only [1-9]\d* (?:left|remaining|more)|[1-9]\d* left in stock|nur noch [1-9]\d*"
    r"|(?:plus que|reste (?:plus )?que|plus qu) ?[1-9]\d*|queda(?:\(n\)|n)? (?:solo |sólo |únicamente )?[1-9]\d*"
    r"|s[oó]lo (?:queda(?:\(n\)|n)? )?[1-9]\d*|disponibilità: solo [1-9]\d*|solo [1-9]\d* (?:con|rimast|ancora|pezzi)"
    r"|(?:apenas|somente|só|resta[m]?) (?:mais )?[1-9]\d*|nog (?:maar|slechts) [1-9]\d*|slechts [1-9]\d*"
    r"|(?:endast|bara) [1-9]\d*|(?:pozostał[oay]?|został[oay]?|tylko) (?:tylko |jeszcze )?[1-9]\d*"
    r"|(?:sadece|yalnızca|son) [1-9]\d* (?:adet|ürün)|تبقى? [1-9]\d*|متبقي [1-9]\d*|(?:केवल|सिर्फ) [1-9]\d*"
    r"|残り\s?[1-9]\d*\s?点|僅剩\s?[1-9]|仅剩\s?[1-9]|只剩\s?[1-9]|[1-9]\d*개 남음"
)
# Others sell it; the offer in the buy box, which this is about, does not exist.
ELSEWHERE = (
    r"from (?:these|other) sellers|bei diesen anbietern|von diesen verkäufern|auprès de ces vendeurs|de ces vendeurs"
    r"|a través de estos vendedores|de estos vendedores|presso questi venditori|da questi venditori|destes vendedores"
    r"|bij deze verkopers|från dessa säljare|u tych sprzedawców|bu satıcılardan|من هؤلاء البائعين|इन विक्रेताओं"
    r"|これらの出品者|出品者からお求め|这些卖家|這些賣家"
)
IN_STOCK = (
    r"\bin stock\b|usually (?:ships|dispatched)|\bavailable (?:now|immediately|to ship)|auf lager|sofort lieferbar"
    r"|gewöhnlich versandfertig|\ben stock\b|expédié sous|disponible|disponibile|disponibilità immediata"
    r"|generalmente spedito|disponível|em estoque|em stock|op voorraad|verzonden binnen|\bi lager\b|finns i lager"
    r"|dostępny|w magazynie|stokta var|^stokta\b|متوفر|في المخزن|स्टॉक में है|^स्टॉक में\W*$|उपलब्ध है"
    r"|在庫あり|通常\s?\d.*以内に発送|現貨|现货|有货|有貨|재고 있음"
)
# Words of denial and of the future: beside them no "in stock" is believed.
DOUBT = (
    r"\b(?:not?|never|without|cannot|unless|nicht|kein\w*|nie|pas|aucun\w*|sans|sin|nunca|non|senza|não|nem|sem|niet"
    r"|geen|inte|ej|ingen|bez|brak|değil|yok|hayır|soon|again|when|once|until|will|back|expected|notify"
    r"|in stock (?:from|on|by|after|in)"
    r"|wieder"
    r"|bald|sobald|ab|erst|bientôt|dès|prochainement|pronto|cuando|cuándo|próximamente|presto|quando|appena|breve"
    r"|binnenkort|wanneer|zodra"
    r"|snart|när|wkrótce|gdy|yakında|a partir|à partir|dal|fino)\b"
    r"|غير|ليس|لا |قريب|नहीं|जल्द|ません|ない|なし|切れ|未定|入荷|不|没|沒|無|无|即将|即將|않|없|곧"
)
PHRASES = (
    (Availability.UNAVAILABLE, UNAVAILABLE),
    (Availability.PREORDER, PREORDER),
    (Availability.LOW_STOCK, LOW_STOCK),
)


def parse_availability(text: str, *, has_price: bool) -> Availability:
    """Answer the state that `text` names; without a known phrase a price tells `unknown` from `no_offer`."""
    return _named(text) or (Availability.UNKNOWN if has_price else Availability.NO_OFFER)


@lru_cache(1000)
def _named(text: str) -> Availability | None:
    """Return the state that a sentence names, None where it names none: one sentence is that of many products."""
    plain = latin_digits(unicodedata.normalize("NFKC", text)).lower()
    for state, phrases in PHRASES:
        if re.search(phrases, plain):
            return state
    is_offered = re.search(IN_STOCK, plain) and not re.search(ELSEWHERE, plain) and not re.search(DOUBT, plain)
    return Availability.IN_STOCK if is_offered else None
