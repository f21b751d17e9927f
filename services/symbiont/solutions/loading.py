"""A recipe from its YAML file; whatever is wrong is said with its line and what to do about it, all at once."""

import difflib
import importlib.resources
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from symbiont.common.errors import InvalidArgument
from symbiont.solutions.recipe import Recipe

FILE = "solution.yaml"
_Place = tuple[str | int, ...]


class RecipeError(InvalidArgument):
    """A recipe, or what it names, is wrong; a line for each problem."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("recipe", "\n" + "\n".join(problems))


@dataclass(frozen=True)
class Located:
    """A recipe with the file that it is of, and the line of each of its keys."""

    recipe: Recipe
    path: Path
    lines: "dict[_Place, int]"

    def at(self, *place: str | int) -> str:
        """Returns `solution.yaml:12: data.label.map`, by the nearest line that there is."""
        dotted = ".".join(map(str, place))
        return f"{self.path}:{_line(self.lines, place)}: {dotted}"


def shipped() -> dict[str, Path]:
    """Returns the solutions that come with the suite, by id."""
    folder = Path(str(importlib.resources.files("symbiont.solutions"))) / "recipes"
    return {path.parent.name: path for path in sorted(folder.glob(f"*/{FILE}"))}


def find_recipe(name: str) -> Located:
    """Returns the recipe of an id that ships, of a file, or of a folder with a solution.yaml.

    Raises:
        RecipeError: there is none, or it is wrong.
    """
    path = shipped().get(name) or Path(name)
    if path.is_dir():
        path = path / FILE
    if not path.is_file():
        raise RecipeError([f"{name}: there is no such solution or file; there are {', '.join(shipped())}"])
    return load_recipe(path)


def load_recipe(path: Path) -> Located:
    """Reads a recipe.

    Raises:
        RecipeError: it is no YAML, or not of the schema; says file, line and remedy of every problem.
    """
    text = path.read_text(encoding="utf-8")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines = dict(_lines(node, ()))
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise RecipeError([f"{path}:{line}: this is not YAML: {exc.problem}; quote texts that hold : or #"]) from exc
    except _DuplicateKeyError as exc:
        raise RecipeError([f"{path}:{exc.line}: {exc.key} stands here twice: keep one of the two"]) from exc
    try:
        return Located(Recipe.model_validate(values), path, lines)
    except ValidationError as exc:
        raise RecipeError([_problem(path, lines, error) for error in exc.errors()]) from exc


class _DuplicateKeyError(Exception):
    def __init__(self, key: str, line: int) -> None:
        self.key, self.line = key, line


def _lines(node: yaml.Node | None, place: _Place) -> Iterator[tuple[_Place, int]]:
    """Yields the line, from 1, of everything in a document, by its path."""
    if node is None:
        return
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise _DuplicateKeyError(key.value, line)
            seen.add(key.value)
            yield (*place, key.value), line
            yield from _lines(value, (*place, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*place, number), value.start_mark.line + 1
            yield from _lines(value, (*place, number))


def _line(lines: "dict[_Place, int]", place: Sequence[str | int]) -> int:
    for length in range(len(place), 0, -1):
        if found := lines.get(tuple(place[:length])):
            return found
    return 1


def _problem(path: Path, lines: "dict[_Place, int]", error: ErrorDetails) -> str:
    place = tuple(part for part in error["loc"] if (part in ("set", "map")) or not _is_branch(part))
    said = ".".join(map(str, place)) or "the recipe"
    return f"{path}:{_line(lines, place)}: {said}: {_words(error, place)}"


def _is_branch(part: str | int) -> bool:
    """Whether a part of a place is pydantic's name of a member of a union, and no key."""
    return isinstance(part, str) and ("[" in part or part in ("tuple", "literal"))


def _words(error: ErrorDetails, place: _Place) -> str:
    match error["type"]:
        case "extra_forbidden":
            return _unknown(place)
        case "missing":
            return "it is missing: add it"
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
        case "tuple_type":
            return f"it is a list: write [{error['input']}]"
        case _:
            return f"{error['msg'][:1].lower()}{error['msg'][1:]}, not {error['input']!r}"


def _unknown(place: _Place) -> str:
    known = sorted(_keys(place[:-1]))
    near = difflib.get_close_matches(str(place[-1]), known, 1)
    if near:
        return f"there is no such key: did you mean {near[0]}?"
    return f"there is no such key: remove it, or say one of {', '.join(known)}"


def _keys(place: _Place) -> set[str]:
    """Returns the keys that a section may have."""
    section: Any = Recipe
    for part in place:
        if isinstance(part, int):
            continue
        section = _section_of(section.model_fields[part].annotation)
    return set(section.model_fields)


def _section_of(annotation: Any) -> Any:
    """Returns the section within `Section | None`, or `tuple[Section, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section_of, get_args(annotation))), None)
