"""Messages made from their descriptors, some of them valid, and bytes that were changed by chance."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor

DEEPEST = 4
_INTEGERS = (0, 1, 2, 3, 7, 16, 100, 4096, 1 << 16)
_FLOATS = (0.0, -0.0, 1.0, 0.5, 1e-3, -1.0, 1e300, -1e-300, float("nan"), float("inf"), float("-inf"))
_TEXTS = (
    *(
        "",
        " ",
        "a",
        "Where is my order?",
        "请帮我取消订单",
        "a" * 300,
        "x" * 5000,
        "\0",
        "../../etc/passwd",
        "/",
        "%s%n{0}",
    ),
    *(
        "'; drop table jobs; --",
        "=cmd()",
        "\u202e\ufeff\u200d",
        "🏳️‍🌈" * 20,
        "-1",
        "1e400",
        "null",
        "{}",
        "[" * 200,
        "*",
    ),
)
_LIMITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}


class Grammar:
    """Makes messages.

    Args:
        chance: decides everything; the same seed makes the same messages.
        names: texts that stand for something in the suite.
    """

    def __init__(self, chance: random.Random, names: Sequence[str]) -> None:
        self._chance = chance
        self._names = names
        self._hints: Mapping[str, Sequence[Any]] = {}
        self._tame = 0.0

    def request(self, descriptor: Descriptor, hints: Mapping[str, Sequence[Any]], place: int = 0) -> bytes:
        """Returns the bytes of a message of this type.

        Of ten, one was damaged after it was made; the others have few or many values that no field would take.

        Args:
            descriptor: of the type.
            hints: what fields of these names may well take: without it little would pass the first check.
            place: in a stream, whose first message as a rule has the first part of its oneof, and later ones others.
        """
        self._hints = hints
        self._tame = self._chance.choice((0.0, 0.5, 0.9, 0.97, 1.0))
        made = self._message(descriptor, 0)
        if descriptor.oneofs and self._chance.random() < self._tame:
            parts = descriptor.oneofs[0].fields
            self._fill(made, parts[0] if place == 0 else parts[min(place, len(parts) - 1)], 0)
        content = bytes(made.SerializeToString())
        return mutated(self._chance, content) if self._chance.random() < 0.1 else content

    def _message(self, descriptor: Descriptor, depth: int) -> Any:
        made: Any = message_factory.GetMessageClass(descriptor)()
        chosen = [self._chance.choice(oneof.fields) for oneof in descriptor.oneofs if self._chance.random() < 0.9]
        plain = [field for field in descriptor.fields if not field.containing_oneof]
        for field in (*chosen, *plain):
            hinted = field.name in self._hints and self._chance.random() < self._tame
            if hinted or self._chance.random() < (0.5 if depth < 2 else 0.3):
                self._fill(made, field, depth)
        return made

    def _fill(self, made: Any, field: FieldDescriptor, depth: int) -> None:
        if field.message_type and depth >= DEEPEST:
            return
        if field.message_type and field.message_type.GetOptions().map_entry:
            self._fill_map(getattr(made, field.name), field.message_type, depth)
        elif field.is_repeated:
            values = [self._value(field, depth) for _ in range(self._chance.choice((0, 1, 1, 2, 3, 8)))]
            getattr(made, field.name).extend(values)
        elif field.message_type:
            getattr(made, field.name).CopyFrom(self._value(field, depth))
        else:
            setattr(made, field.name, self._value(field, depth))

    def _fill_map(self, entries: Any, entry: Descriptor, depth: int) -> None:
        key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
        for _ in range(self._chance.choice((0, 1, 3))):
            name = self._value(key, depth)
            if value.message_type:
                entries[name].CopyFrom(self._value(value, depth))
            else:
                entries[name] = self._value(value, depth)

    def _value(self, field: FieldDescriptor, depth: int) -> Any:
        kind, chance = field.cpp_type, self._chance
        if kind == FieldDescriptor.CPPTYPE_MESSAGE:
            return self._message(field.message_type, depth + 1)
        if chance.random() < self._tame:
            return self._likely(field)
        if kind == FieldDescriptor.CPPTYPE_ENUM:
            return chance.choice([*(value.number for value in field.enum_type.values), 99, -1])
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return chance.random() < 0.5
        if kind in _LIMITS:
            low, high = _LIMITS[kind]
            return chance.choice((*_INTEGERS, low, high, chance.randint(low, high)))
        if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
            return chance.choice((*_FLOATS, chance.uniform(-10, 10))) if kind == FieldDescriptor.CPPTYPE_DOUBLE else 0.5
        if field.type == FieldDescriptor.TYPE_BYTES:
            return chance.randbytes(chance.choice((0, 1, 4, 64, 1000)))
        return chance.choice(self._names) if chance.random() < 0.5 else chance.choice(_TEXTS)

    def _likely(self, field: FieldDescriptor) -> Any:
        """Returns what such a field may well take."""
        kind, chance = field.cpp_type, self._chance
        if kind == FieldDescriptor.CPPTYPE_ENUM:
            return chance.choice([value.number for value in field.enum_type.values])
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return chance.random() < 0.3
        if kind in _LIMITS:
            return chance.choice((0, 1, 2, 4, 8, 16))
        if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
            return chance.choice((0.0, 0.25, 0.5, 1.0))
        if field.type == FieldDescriptor.TYPE_BYTES:
            return chance.choice((b"text,label\na,x\nb,y\n", b"[]", b"1", b""))
        return str(chance.choice(self._hints.get(field.name, ("",))))


def mutated(chance: random.Random, content: bytes) -> bytes:
    """Returns bytes after one to four changes: bits, ends, parts twice or elsewhere, numbers at their limits."""
    made = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(made) + 1)
        match chance.randrange(6):
            case 0 if place < len(made):
                made[place] ^= 1 << chance.randrange(8)
            case 1:
                del made[place:]
            case 2:
                made[place:place] = chance.randbytes(chance.choice((1, 2, 8)))
            case 3:
                end = min(len(made), place + chance.randint(1, 64))
                made[place:place] = made[place:end]
            case 4:
                del made[place : place + chance.randint(1, 16)]
            case _:
                made[place : place + 8] = chance.choice(
                    (b"\xff" * 8, b"\0" * 8, b"\x7f" + b"\xff" * 7, b"[" * 8, b"-1")
                )
    return bytes(made)
