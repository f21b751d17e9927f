"""Brings texts into one form: Unicode, width, HTML, control characters, whitespace, languages.

Each step is a list of edits, so that labels which are positions follow. A row whose label cannot stays as it was.
"""

import html
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from html.entities import html5

import regex  # type: ignore[import-untyped]

from symbiont.common.languages import language
from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.edits import Edit, Edited, apply
from symbiont.training.gate.findings import Notes, Outcome
from symbiont.training.gate.moving import moved
from symbiont.training.gate.settings import Clean, UnicodeForm

Step = tuple[str, Callable[[str], Iterator[Edit]]]

# Elements whose content is no text, comments, and then any tag of HTML: `a < b` and `<3` are none.
_HIDDEN = regex.compile(r"(?is)<(script|style)\b[^>]*>.*?</\1\s*>|<!--.*?-->")
_TAG_NAMES = (
    "a|abbr|article|aside|b|blockquote|body|br|button|center|cite|code|dd|del|div|dl|dt|em|figure|font|footer|form|h[1-6]"
    "|head|header|hr|html|i|iframe|img|input|ins|label|li|link|main|mark|meta|nav|ol|option|p|pre|q|s|section|select"
    "|small|span|strong|sub|sup|svg|table|tbody|td|textarea|tfoot|th|thead|title|tr|u|ul|video"
)
_TAG = regex.compile(rf"(?i)</?(?:{_TAG_NAMES})(?:\s[^<>]*)?/?>")
# Words on both sides of these are two.
_BREAK = regex.compile(r"(?i)</?(?:br|p|div|li|tr|td|th|h[1-6]|ul|ol|table|hr|dd|dt|blockquote|section|article|pre)\b")
_ENTITY = regex.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# Controls other than tab and line ends, and what has no width and no meaning: soft hyphen, spaces of no width, byte
# order marks, directions. Not the joiners of emoji and of Indic and Persian words, nor variation selectors.
_CONTROL = regex.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f"
    "\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]+"
)
_SPACE = regex.compile(r"\s+")
_CLUSTER = regex.compile(r"\X")
# Full-width ASCII, the ideographic space is left to whitespace; half-width katakana with its marks.
_WIDTH = regex.compile("[\uff01-\uff5e\uffe0-\uffe6]|[\uff66-\uff9d][\uff9e\uff9f]?")
# Of a Chinese sentence these are its own punctuation, and no ASCII in a wide form.
_CHINESE_MARKS = frozenset("，。！？：；（）～")


def clean(rows: Sequence[Row], kind: LabelKind, settings: Clean) -> Outcome:
    """Cleans texts and pairs.

    Finds HTML, CONTROL, UNICODE, WIDTH and WHITESPACE, the rows where each did something; LABEL_STAYED, those that were
    left as they are for their label; EMPTY, TOO_SHORT and LANGUAGE, those that are gone.
    """
    steps, notes, kept, changed = _steps(settings), Notes(), [], 0
    for row in rows:
        made = _cleaned(row, kind, steps, notes)
        if reason := _unwanted(made, settings):
            notes.add(reason, row)
            continue
        changed += made != row
        kept.append(made)
    return Outcome(kept, notes.findings(), changed)


def _steps(settings: Clean) -> Sequence[Step]:
    form = settings.unicode_form
    steps: list[tuple[bool, Step]] = [
        (settings.strip_html, ("HTML", _html)),
        (settings.strip_html, ("HTML", _entities)),
        (settings.strip_control, ("CONTROL", _control)),
        (form is not UnicodeForm.NONE, ("UNICODE", lambda text: _unicode(text, form))),
        (settings.fold_width, ("WIDTH", _width)),
        (settings.collapse_whitespace, ("WHITESPACE", _whitespace)),
    ]
    return [step for wanted, step in steps if wanted]


def _cleaned(row: Row, kind: LabelKind, steps: Sequence[Step], notes: Notes) -> Row:
    text, names = _run(row.text, steps)
    pair, more = _run(row.pair, steps)
    made = moved(row, kind, text, pair)
    if made is None:
        notes.add("LABEL_STAYED", row)
        return row
    for name in dict.fromkeys([*names, *more]):
        notes.add(name, row)
    return made


def _run(text: str, steps: Sequence[Step]) -> tuple[list[Edited], list[str]]:
    """Returns what each step that did something made of a text, and their names."""
    made, names = [], []
    for name, step in steps:
        edited = apply(text, step(text))
        if edited.edits:
            text = edited.text
            made.append(edited)
            names.append(name)
    return made, names


def _unwanted(row: Row, settings: Clean) -> str:
    length = len(row.text.strip())
    if not length:
        return "EMPTY"
    if length < settings.min_characters:
        return "TOO_SHORT"
    if settings.languages and language(f"{row.text} {row.pair}".strip()) not in settings.languages:
        return "LANGUAGE"
    return ""


def _html(text: str) -> Iterator[Edit]:
    if "<" not in text:
        return
    hidden = [(m.start(), m.end()) for m in _HIDDEN.finditer(text)]
    yield from ((start, end, " ") for start, end in hidden)
    for match in _TAG.finditer(text):
        if not any(start <= match.start() < end for start, end in hidden):
            yield match.start(), match.end(), " " if _BREAK.match(match[0]) else ""


def _entities(text: str) -> Iterator[Edit]:
    if "&" not in text:
        return
    for match in _ENTITY.finditer(text):
        if match[0][1] == "#" or match[0][1:] in html5:
            # A character reference that stands for a tag's bracket is text, whatever it looks like now.
            yield match.start(), match.end(), html.unescape(match[0])


def _control(text: str) -> Iterator[Edit]:
    return ((m.start(), m.end(), "") for m in _CONTROL.finditer(text))


def _unicode(text: str, form: UnicodeForm) -> Iterator[Edit]:
    name = form.value
    if unicodedata.is_normalized(name, text):  # type: ignore[arg-type]
        return
    edits = [(m.start(), m.end(), unicodedata.normalize(name, m[0])) for m in _CLUSTER.finditer(text)]  # type: ignore[arg-type]
    whole = unicodedata.normalize(name, text)  # type: ignore[arg-type]
    # What a reader takes for one character may become one with its neighbour; then nobody can say where a part is.
    yield from edits if "".join(new for _, _, new in edits) == whole else [(0, len(text), whole)]


def _width(text: str) -> Iterator[Edit]:
    for match in _WIDTH.finditer(text):
        if match[0] not in _CHINESE_MARKS:
            yield match.start(), match.end(), unicodedata.normalize("NFKC", match[0])


def _whitespace(text: str) -> Iterator[Edit]:
    for match in _SPACE.finditer(text):
        at_an_end = not match.start() or match.end() == len(text)
        # A line end is worth keeping: it says where one thing ends.
        yield match.start(), match.end(), "" if at_an_end else "\n" if "\n" in match[0] else " "
