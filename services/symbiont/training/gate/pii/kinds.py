"""Kinds of what tells of a person."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """A kind; the names are those of the proto without their prefix."""

    PERSON = "PERSON"
    PHONE = "PHONE"
    ID_CARD = "ID_CARD"
    BANK_CARD = "BANK_CARD"
    EMAIL = "EMAIL"
    ADDRESS = "ADDRESS"
    LICENSE_PLATE = "LICENSE_PLATE"
    PASSPORT = "PASSPORT"
    IBAN = "IBAN"
    SSN = "SSN"
    DRIVER_LICENSE = "DRIVER_LICENSE"
    IP = "IP"
    URL = "URL"
    DATE = "DATE"
    AGE = "AGE"
    ORG = "ORG"
    PLACE = "PLACE"


# Those that need a language model; the others are told by their form.
NAMED = frozenset({Kind.PERSON, Kind.ORG, Kind.PLACE})
# What leads to one person. Dates, ages, companies and places are often what a text is about.
DEFAULT_KINDS = tuple(kind for kind in Kind if kind not in {Kind.DATE, Kind.AGE, Kind.ORG, Kind.PLACE})


@dataclass(frozen=True)
class Found:
    """A part of a text, in code points; `score` from 0 to 1 says how sure, and which of two that overlap wins."""

    start: int
    end: int
    kind: Kind
    score: float
