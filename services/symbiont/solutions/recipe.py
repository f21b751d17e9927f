"""What a recipe may say: the typed schema of a solution's YAML file, which editors get as JSON schema."""

from typing import Any, Literal, Self

from pydantic import model_validator

from symbiont.solutions.recipe_evaluation import Evaluation
from symbiont.solutions.recipe_rows import Data, DataGate, Identifier, Recommendation, Section
from symbiont.solutions.recipe_serving import Monitoring, Serving
from symbiont.solutions.recipe_training import Development, Method, Task

# Heads whose answers are explained by what words, sentences and fields do to a probability.
EXPLAINED = ("classification",)


class Base(Section):
    """The shared base. It is registered where it is not."""

    id: Identifier = "minilm"
    """Its id."""
    package: str = ""
    """Installed package that carries it."""
    folder: str = ""
    """Folder of it, in place of a package."""
    license: str = ""
    """Under what it may be used."""


class Recipe(Section):
    """A solution."""

    solution: Identifier
    """Its id."""
    title: str
    """What it is called."""
    summary: str
    """What it does, for whom, in a sentence or two."""
    language: Literal["en", "zh", "mixed"] = "en"
    """What texts are written in."""
    base: Base = Base()
    data: Data | None = None
    recommendation: Recommendation | None = None
    gate: DataGate = DataGate()
    task: Task = Task()
    method: Method = Method()
    development: Development = Development()
    evaluation: Evaluation = Evaluation()
    serving: Serving = Serving()
    monitoring: Monitoring = Monitoring()

    @model_validator(mode="after")
    def _where_rows_come_from(self) -> Self:
        if (self.data is None) == (self.recommendation is None):
            raise ValueError("say where rows come from: `data`, or `recommendation`, and not both")
        return self

    @model_validator(mode="after")
    def _what_is_explained(self) -> Self:
        if self.evaluation.deletion_test and self.task.head not in EXPLAINED:
            raise ValueError(f"`evaluation.deletion_test` is of {' and '.join(EXPLAINED)}, whose answers are explained")
        return self

    @model_validator(mode="after")
    def _what_is_handed_over(self) -> Self:
        sure = self.task.head in ("classification", "spans") or self.serving.catalogue
        if self.serving.hand_over and not sure:
            raise ValueError("`serving.hand_over` is of classification, spans and catalogues: others say not how sure")
        return self

    @model_validator(mode="after")
    def _what_is_released(self) -> Self:
        # Vectors of two versions cannot be compared: whatever was embedded by one of them answers all calls.
        where = "`recommendation`" if self.recommendation else "`serving.catalogue`" if self.serving.catalogue else ""
        if self.serving.release and where:
            remedy = "leave it out, and keep worse versions out by `evaluation.gate`"
            raise ValueError(
                f"`serving.release` does not go with {where}, which one version embeds at a time: {remedy}"
            )
        return self

    @property
    def model(self) -> str:
        """The id of the model."""
        return self.serving.model or self.solution


def json_schema() -> dict[str, Any]:
    """Returns the schema for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
