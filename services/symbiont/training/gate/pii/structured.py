"""Kinds that have a form of their own, in any language; numbers by their check digits where they have one.

They are looked for in texts as `writing.plain` leaves them: digits, letters, spaces and dashes are those of ASCII.

To add one: a `Pattern` in STRUCTURED, its kind in `kinds.py` and in the proto, and rows of it in the test.
"""

import ipaddress

from symbiont.training.gate.pii.kinds import Kind
from symbiont.training.gate.pii.numbers import is_card, is_iban, is_id_card
from symbiont.training.gate.pii.recognizer import Pattern


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def _is_phone(text: str) -> bool:
    """A year and a year, or a date, is none."""
    return 7 <= len(_digits(text)) <= 15


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# Nothing that goes on as a number or a word of Latin letters stands beside; a Chinese character may.
_L, _R = r"(?<![A-Za-z0-9_.\-])", r"(?![A-Za-z0-9_]|[.\-]\d)"
# Before what is a telephone by its digits alone there may be a dash or a dot, as long as no number goes on there.
_LEFT, _RIGHT = r"(?<![A-Za-z0-9])(?<!\d[_.\-])", r"(?![A-Za-z0-9]|[.\-]\d)"
_CALLED = r"(?<=(?<![A-Za-z])(?i:tel|mob|phone|vx|wx))"
_PHONE_WORDS = (
    r"(?i)\b(?:phone|tel|telephone|mobile|cell|call|fax|office|contact|reach|ring|whatsapp|sms|text(?:ed)?|messages?|answering"
    r"|number)\b|电话|手机|致电|传真|座机|热线"
)

STRUCTURED: tuple[Pattern, ...] = (
    Pattern(
        Kind.EMAIL,
        r"(?<![A-Za-z0-9_.+\-])[A-Za-z0-9_][A-Za-z0-9_.+\-]*@(?:[A-Za-z0-9\-]+\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])",
        1.0,
    ),
    Pattern(
        Kind.URL,
        r"(?i)(?<![a-z0-9_])(?:https?|ftp)://[^\s<>\"'，。；！？、（）]*[^\s<>\"'，。；！？、（）.,;:!?)\]]",
        0.97,
    ),
    Pattern(Kind.URL, r"(?i)(?<![\w@.])www\.[a-z0-9\-]+(?:\.[a-z0-9\-]+)+(?:/[^\s，。；]*)?", 0.9),
    Pattern(
        Kind.ID_CARD,
        r"(?:(?<![A-Za-z0-9])|(?<=(?<![A-Za-z])(?i:id)))[1-9]\d{5}[ \-]?\d{8}[ \-]?\d{3}[\dXx](?![A-Za-z0-9])",
        1.0,
        lambda text: is_id_card(text.replace(" ", "").replace("-", "")),
    ),
    Pattern(
        Kind.IBAN,
        r"(?i)(?<![A-Za-z0-9])[a-z]{2}\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,3})?(?![A-Za-z0-9])",
        1.0,
        lambda text: 15 <= len(text.replace(" ", "")) <= 34 and is_iban(text.replace(" ", "")),
    ),
    # Groups of digits with one kind of space between them.
    Pattern(
        Kind.BANK_CARD,
        rf"{_L}(?:\d{{12,19}}|\d{{4}}(?:([ \-])\d{{4}})(?:\1\d{{4}})*(?:\1\d{{1,7}})?"
        rf"|\d{{4}}([ \-])\d{{6}}\2\d{{4,5}}){_R}",
        0.96,
        lambda text: is_card(_digits(text)),
    ),
    Pattern(Kind.SSN, rf"{_L}(?!000|666|9\d\d)\d{{3}}-(?!00)\d{{2}}-(?!0000)\d{{4}}{_R}", 0.95),
    Pattern(Kind.IP, r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]*\d)", 0.95, _is_ip),
    Pattern(
        Kind.IP,
        r"(?i)(?<![0-9a-f:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![0-9a-f:])",
        0.95,
        lambda text: text.count(":") > 2 and _is_ip(text),
    ),
    # A Chinese mobile, a landline with its area, and a number that companies have.
    Pattern(
        Kind.PHONE,
        rf"(?:{_LEFT}|{_CALLED})(?:(?:\+|00)?86[ \-]?)?"
        rf"(?:1[3-9]\d([ .\-]?| {{2}})\d{{4}}\1\d{{4}}|[(（]1[3-9]\d[)）][ \-]?\d{{4}}[ \-]?\d{{4}}){_RIGHT}",
        0.94,
    ),
    Pattern(
        Kind.PHONE,
        rf"{_LEFT}(?:0\d{{2,3}}[ \-]|[(（]0\d{{2,3}}[)）][ \-]?)\d{{7,8}}(?:[\-转]\d{{1,5}})?{_R}",
        0.9,
    ),
    Pattern(Kind.PHONE, rf"{_L}[48]00[ \-]?\d{{3}}[ \-]?\d{{4}}{_R}", 0.9),
    # One with its country, and the American form.
    Pattern(
        Kind.PHONE,
        r"(?<![\w+])\+\d{1,3}(?:[ .\-]?\(\d{1,4}\))?(?:[ .\-]?\d{1,6}){1,6}(?:x\d{1,5})?(?![A-Za-z0-9])",
        0.9,
        _is_phone,
    ),
    Pattern(
        Kind.PHONE,
        rf"{_L}(?:\+?1[ .\-])?(?:[2-9]\d\d[ .\-]|\([2-9]\d\d\)[ .\-]?)\d{{3}}[.\-]\d{{4}}"
        r"(?: ?x\d{1,5})?(?![A-Za-z0-9])",
        0.9,
    ),
    # Any other group of digits, where the words beside say so.
    Pattern(
        Kind.PHONE,
        rf"{_L}(?:\(\d{{1,4}}\)|\d{{2,5}})(?:[ .\-/]?\(0?\d{{1,3}}\))?(?:[ .\-/]\d{{2,8}}){{1,5}}(?:x\d{{1,5}})?{_R}",
        0.6,
        _is_phone,
        _PHONE_WORDS,
    ),
    Pattern(
        Kind.PHONE,
        rf"{_L}\d{{7,12}}{_R}",
        0.55,
        _is_phone,
        r"(?i)\b(?:phone|tel|telephone|mobile|cell|call|fax)\b|电话|手机",
    ),
    Pattern(
        Kind.DRIVER_LICENSE,
        rf"{_L}[A-Z0-9](?:[A-Z0-9\-]{{4,18}})\d{_R}",
        0.98,
        context=r"(?i)driver'?s?'? licen[cs]e|驾驶证|驾照",
    ),
    Pattern(
        Kind.LICENSE_PLATE,
        r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-Z][·•. ]?"
        r"[A-HJ-NP-Z0-9]{4,5}[A-HJ-NP-Z0-9挂学警港澳](?![A-Za-z0-9])",
        0.95,
    ),
    Pattern(Kind.PASSPORT, r"(?<![A-Za-z0-9])(?:[EGDSPH]\d{8}|E[A-HJ-NP-Z]\d{7})(?![A-Za-z0-9])", 0.85),
    Pattern(Kind.PASSPORT, r"(?<![A-Za-z0-9])[A-Z]{0,2}\d{7,9}(?![A-Za-z0-9])", 0.8, context=r"(?i)passport|护照"),
    Pattern(
        Kind.DATE,
        r"(?<!\d)(?:19|20)\d\d[\-/.](?:0?[1-9]|1[0-2])[\-/.](?:0?[1-9]|[12]\d|3[01])"
        r"(?:[ T]\d\d?:\d\d(?::\d\d)?)?(?!\d)",
        0.8,
    ),
    Pattern(Kind.DATE, r"(?<!\d)(?:0?[1-9]|[12]\d|3[01])/(?:0?[1-9]|[12]\d|3[01])/(?:19|20)\d\d(?!\d)", 0.8),
    Pattern(Kind.DATE, r"(?:(?:19|20)\d\d年)?(?:0?[1-9]|1[0-2])月(?:0?[1-9]|[12]\d|3[01])[日号]", 0.8),
    Pattern(Kind.AGE, r"(?i)(?<!\d)(?P<value>1[01]\d|\d{1,2})[ \-]?(?:years?[ \-]old|y/o\b|yo\b|周岁|岁)", 0.85),
    Pattern(Kind.AGE, r"(?i)\b(?:aged|age of|age:?|turn(?:ed|s)?) (?P<value>1[01]\d|\d{1,2})(?!\d)", 0.8),
)
