"""Addresses by their form: a Chinese one from the province down to the room, a Western one by street and number."""

from collections.abc import Iterator

import regex  # type: ignore[import-untyped]

from symbiont.training.gate.pii.kinds import Found, Kind
from symbiont.training.gate.pii.recognizer import Pattern

_PROVINCES = (
    "北京|天津|上海|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南"
    "|广东|海南|四川|贵州|云南|陕西|甘肃|青海|台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门"
)
_HAN = r"\p{Script=Hani}"
_HOUSE = r"\d+(?:号院?|弄)(?:之\d+)?"
# House, stairs, floor, room; each may be left out.
_INSIDE = (
    rf"(?:{_HAN}{{0,8}}?(?:小区|花园|大厦|广场))?(?:\d+(?:号楼|栋|幢|座|号))?(?:\d+单元)?(?:\d+(?:层|楼))?"
    r"(?:\d+(?:室|号房|房))?"
)
_STREET = rf"{_HAN}{{1,10}}?(?:大道|大街|路|街|巷|胡同|里|道|村|镇)(?:[东西南北中]段)?{_HOUSE}{_INSIDE}"
_CHINESE = regex.compile(
    rf"(?:{_PROVINCES})(?:省|市|自治区|壮族自治区|回族自治区|维吾尔自治区|特别行政区)?"
    rf"(?:{_HAN}{{1,8}}?(?:市|地区|自治州|盟))?(?:{_HAN}{{1,8}}?(?:区|县|旗|市))?{_STREET}"
)
# Without its province it begins at a city or district, which no verb may run into.
_PLACE = rf"(?:(?![在住到于址]){_HAN}){{2,4}}"
_SHORT = regex.compile(rf"(?:(?<![{_HAN}])|(?<=[在住到于址]))(?:{_PLACE}市)?{_PLACE}[区县]{_STREET}")

_WORD = r"(?:\p{Lu}[\p{L}'’.\-]*)"
_KINDS_OF_STREET = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Square|Sq|Place|Pl|Way|Terrace"
    r"|Highway|Hwy|Parkway)"
)
_ROOM = r"(?:,? (?:Apt\.?|Suite|Unit|#) ?\w{1,6})?"
WESTERN: tuple[Pattern, ...] = (
    Pattern(Kind.ADDRESS, rf"(?<!\w)\d{{1,5}}[A-Za-z]? (?:{_WORD} ){{1,4}}{_KINDS_OF_STREET}\b\.?{_ROOM}", 0.75),
    Pattern(Kind.ADDRESS, r"(?<!\w)(?:Apt\.|Suite|P\.?O\.? Box|Box) \d{1,6}\b", 0.7),
)


class ChineseAddresses:
    """Finds Chinese addresses that name a house."""

    kinds = frozenset({Kind.ADDRESS})

    def find(self, text: str) -> Iterator[Found]:
        """Yields them."""
        for form, score in ((_CHINESE, 0.93), (_SHORT, 0.8)):
            for match in form.finditer(text):
                yield Found(match.start(), match.end(), Kind.ADDRESS, score)
