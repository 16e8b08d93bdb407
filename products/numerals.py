"""Numbers as the pages of our sites write them: digits of any script, and the marks between groups of three.

The marks are those of CLDR for the languages of our sites: comma, point, apostrophe and the narrow, thin and no-break
spaces; India groups by two after the first three.
"""

import re
import unicodedata

MARK = "[.,\\s’'٬]"
# "1,234,567", "1 234", "1,23,456" (India) or plain digits; a mark that is not followed by three digits ends it.
GROUPED = rf"(?:\d{{1,3}}(?:{MARK}\d{{3}})+|\d{{1,2}}(?:,\d{{2}})+,\d{{3}}|\d+)"
# Behind a number that is written in full: neither more digits, nor a letter or word that stands for thousands.
THOUSANDS = (
    r"mil\b|mille\b|mila\b|milj?|mio|mln|tsd|tys|tausend|bin\b|lakh|crore|thousand|million|billion"
    r"|万|萬|億|亿|千|만|천|ألف|الف|हज़ार|हजार|लाख"
)
EXACT = rf"(?!{MARK}?\d|[a-z]|\s?(?:[kmb]\b|{THOUSANDS}))"


FOREIGN_DIGIT, DECIMAL_MARK = re.compile(r"[^\D0-9]"), re.compile(r"(?<=\d)٫(?=\d)")


def latin_digits(text: str) -> str:
    """Answer `text` with the decimal digits of every script as 0 to 9, and the Arabic decimal mark as a point."""
    if text.isascii():
        return text
    plain = FOREIGN_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)
    return DECIMAL_MARK.sub(".", plain)
