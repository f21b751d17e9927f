"""One page of HTML about a version, for people who decide: it fetches nothing, runs no script, and prints well."""

from collections.abc import Mapping

from symbiont.evaluation.page import sections
from symbiont.evaluation.page.html import Html, element
from symbiont.evaluation.page.style import STYLE
from symbiont.evaluation.report import Report
from symbiont.evaluation.words import Phrases, phrases_for

# Whatever a label or a text holds, a browser runs and fetches nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render_page(report: Report, *, language: str = "en", texts: Mapping[int, str] | None = None) -> str:
    """Returns the report as HTML.

    Args:
        report: of a version.
        language: `en` or `zh`.
        texts: of rows, by number, that may be shown beside the hardest ones; none are shown without.

    Raises:
        InvalidArgument: there are no words of the language.
    """
    phrases = phrases_for(language)
    name = _name(report, phrases)
    title = phrases.say("title", name=name)
    body = element(
        "main",
        _header(report, title, phrases),
        sections.in_short(report, phrases),
        sections.compared(report, phrases),
        sections.rules(report, phrases),
        sections.weak(report, phrases),
        sections.confused(report, phrases),
        sections.detail(report, phrases),
        sections.trusted(report, phrases),
        sections.decided(report, phrases),
        sections.hardest(report, phrases, texts or {}),
        sections.speed(report, phrases),
        sections.origin(report, phrases),
        sections.reading(report, phrases),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(STYLE)),
    )
    shown = "zh-CN" if phrases.language == "zh" else "en"
    return f"<!DOCTYPE html>\n{element('html', head, element('body', body), lang=shown)}\n"


def _name(report: Report, phrases: Phrases) -> str:
    origin = report.origin
    if not origin.model:
        return phrases.say("a_version")
    number = phrases.say("version", version=origin.version) if origin.version else ""
    return f"{origin.model} {number}".strip()


def _header(report: Report, title: str, phrases: Phrases) -> Html:
    said = [phrases.say("on_rows", rows=f"{report.rows:,}")]
    if report.groups:
        said.append(phrases.say("in_groups", groups=f"{report.groups:,}"))
    parts = [element("h1", title), element("div", " ".join(said), class_="muted")]
    if report.verdict is not None:
        passed = report.verdict.passed
        parts.append(
            element("div", phrases.say("may" if passed else "may_not"), class_=f"badge {'good' if passed else 'bad'}")
        )
    return element("header", *parts)
