"""Joins the parts of the catalogues."""

from dataclasses import dataclass

from symbiont.common.artifacts import ArtifactStore
from symbiont.inference.catalogues.catalogues import CatalogueLimits, Catalogues
from symbiont.inference.catalogues.change import SizeLimits
from symbiont.inference.catalogues.embedding import Embedder, EmbeddingLimits
from symbiont.inference.catalogues.matching import Matching
from symbiont.inference.catalogues.pinning import Pinning
from symbiont.inference.catalogues.shelf import Shelf, load
from symbiont.inference.catalogues.staging import Staging
from symbiont.inference.catalogues.versions import Versions
from symbiont.inference.metrics import CatalogueMetrics
from symbiont.inference.predictor import Predictor
from symbiont.inference.settings import InferenceSettings


@dataclass(frozen=True)
class CatalogueParts:
    """What comes before the predictor, which needs `matching`, and what is made of it."""

    store: ArtifactStore
    settings: InferenceSettings
    metrics: CatalogueMetrics
    versions: Versions
    matching: Matching

    def catalogues(self, predictor: Predictor) -> Catalogues:
        """Returns the use cases."""
        settings = self.settings
        sizes = SizeLimits(settings.max_catalogue_entries, settings.exact_catalogue_entries)
        limits = CatalogueLimits(sizes, settings.max_text_bytes, settings.max_catalogue_imports)
        texts = min(settings.catalogue_batch_texts, settings.max_instances)
        embedding = EmbeddingLimits(texts, settings.default_timeout_seconds, settings.catalogue_patience_seconds)
        embedder = Embedder(predictor, embedding)
        staging = Staging(self.store)
        return Catalogues(self.versions, staging, Pinning(predictor), embedder, limits, self.metrics)


def catalogue_parts(store: ArtifactStore, settings: InferenceSettings, metrics: CatalogueMetrics) -> CatalogueParts:
    """Makes what the predictor needs."""
    versions = Versions(store, settings.catalogue_versions_kept)
    shelf = Shelf(lambda version: load(versions, version), settings.catalogue_memory_bytes, metrics)
    return CatalogueParts(store, settings, metrics, versions, Matching(versions, shelf, metrics))
