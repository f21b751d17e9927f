"""Check digits: what tells a number of a card from any other number as long."""

import re

_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"
_MONTHS = {1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}
# Beginnings that issuers of cards have, and how many digits those have then.
_ISSUERS = (
    (re.compile(r"4"), {13, 16, 19}),
    (re.compile(r"5[1-5]|2[2-7]"), {16}),
    (re.compile(r"3[47]"), {15}),
    (re.compile(r"3(?:0[0-5]|[689])"), {14, 16}),
    (re.compile(r"35|2131|1800"), {15, 16}),
    (re.compile(r"62"), {16, 17, 18, 19}),
    (re.compile(r"6011|64[4-9]|65"), {16, 19}),
    (re.compile(r"50|5[6-9]|6[0-9]"), set(range(12, 20))),
)


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO 7812)."""
    values = [int(digit) for digit in reversed(digits)]
    doubled = (sum(divmod(2 * value, 10)) for value in values[1::2])
    return (sum(values[::2]) + sum(doubled)) % 10 == 0


def is_card(digits: str) -> bool:
    """Whether digits can be the number of a bank card: issuer, length and check digit fit."""
    return luhn(digits) and any(start.match(digits) and len(digits) in lengths for start, lengths in _ISSUERS)


def is_id_card(text: str) -> bool:
    """Whether 18 characters can be a Chinese citizen's number (GB 11643): date of birth and check digit fit."""
    month, day = int(text[10:12]), int(text[12:14])
    if not 1800 <= int(text[6:10]) <= 2100 or not 1 <= day <= _MONTHS.get(month, 0):
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_ID_WEIGHTS, text[:17], strict=True))
    return _ID_CHECKS[total % 11] == text[17].upper()


def is_iban(text: str) -> bool:
    """Whether letters and digits without spaces can be an IBAN (ISO 13616)."""
    moved = text[4:] + text[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1
