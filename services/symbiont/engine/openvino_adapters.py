"""Adapters as the inputs of an OpenVINO graph: laid out when they are placed, gathered row by row for each batch."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symbiont.engine.adapters import Adapter
from symbiont.engine.openvino_grafts import Axis, Feature, Group, Part
from symbiont.engine.runtime import Array


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The parts of an adapter, by group; adapters with the same parts share one."""

    features: frozenset[Feature]
    parts: Mapping[Group, tuple[Part, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class OpenVinoAdapter:
    """One adapter: per group an array [parts, length, width], in the layout's order.

    Length comes before width, so that a row's part is padded by what follows it, in one piece. It is the same for all
    groups of an axis, because parts of different width are multiplied along it.
    """

    layout: Layout
    blocks: Mapping[Group, Array]
    lengths: Mapping[Axis, int]
    is_relu: bool

    @property
    def virtual(self) -> int:
        """Virtual tokens of a prefix."""
        return self.lengths.get("virtual", 0)


class Layouts:
    """Lays adapters out. Safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[frozenset[Feature], Layout] = {}

    def place(self, adapter: Adapter) -> OpenVinoAdapter:
        """Copies an adapter."""
        tensors = _tensors(adapter)
        groups: dict[Group, list[Part]] = {}
        for part, (group, _) in tensors.items():
            groups.setdefault(group, []).append(part)
        layout = self._layout(groups)
        lengths: dict[Axis, int] = {}
        for group, matrix in tensors.values():
            lengths[group.axis] = max(lengths.get(group.axis, 0), len(matrix))
        blocks = {
            group: _block([tensors[part][1] for part in parts], lengths[group.axis], group.width)
            for group, parts in layout.parts.items()
        }
        return OpenVinoAdapter(layout, blocks, lengths, adapter.activation == "relu")

    def _layout(self, groups: Mapping[Group, list[Part]]) -> Layout:
        features = frozenset(part.feature for parts in groups.values() for part in parts)
        with self._lock:
            if features not in self._known:
                ordered = {group: tuple(sorted(parts)) for group, parts in groups.items()}
                self._known[features] = Layout(features, ordered)
            return self._known[features]


def _tensors(adapter: Adapter) -> dict[Part, tuple[Group, Array]]:
    """Returns each part with its group and its array [length, width]."""
    found: dict[Part, tuple[Group, Array]] = {}
    for module, pair in adapter.pairs.items():
        for name, matrix in (("a", pair.a), ("b", pair.b.T)):
            found[Part(Feature("lora", module), name)] = Group("rank", matrix.shape[1]), matrix
    for module, layer in adapter.bottlenecks.items():
        for name, matrix in (("down", layer.down), ("down_bias", layer.down_bias[:, None]), ("up", layer.up.T)):
            found[Part(Feature("houlsby", module), name)] = Group("size", matrix.shape[1]), matrix
        up_bias = layer.up_bias[None]
        found[Part(Feature("houlsby", module), "up_bias")] = Group("one", up_bias.shape[1]), up_bias
    for module, shift in adapter.shifts.items():
        found[Part(Feature("shift", module), "shift")] = Group("one", len(shift)), shift[None]
    for index, layer_half in enumerate(() if adapter.prefix is None else adapter.prefix):
        part = Part(Feature("prefix", str(index // 2)), "values" if index % 2 else "keys")
        found[part] = Group("virtual", layer_half.shape[1]), layer_half
    return found


def _block(matrices: Sequence[Array], length: int, width: int) -> Array:
    """Returns [parts, length, width]; some parts are shorter, because AdaLoRA leaves modules different ranks."""
    block = np.zeros((len(matrices), length, width), dtype=np.float32)
    for own, matrix in zip(block, matrices, strict=True):
        own[: len(matrix)] = matrix
    return block


@dataclass(frozen=True, slots=True)
class _GroupPlan:
    """Which parts of a group a batch has, and where in them those of each layout are; None: they are the same."""

    parts: tuple[Part, ...]
    places: Mapping[Layout, Any]


class Gatherer:
    """Fills the adapter inputs of one graph. Its arrays are good until the next call."""

    # A plan is small; what bounds them is that mixtures of layouts may be very many.
    _MAX_PLANS = 256

    def __init__(self, parts: Mapping[Part, Group]) -> None:
        self._parts = parts
        self._plans: dict[frozenset[Layout], dict[Group, _GroupPlan]] = {}
        self._memory: dict[Group, Array] = {}
        self._takes_relu = any(part.feature.kind == "houlsby" for part in parts)
        self._takes_prefix = any(part.feature.kind == "prefix" for part in parts)

    def gather(self, adapters: Sequence[OpenVinoAdapter | None], tokens: int) -> list[Any]:
        """Returns the inputs behind those of the base, for rows of so many tokens."""
        distinct = dict.fromkeys(adapters)
        rows = len(adapters)
        # One adapter for all rows is broadcast, uncopied; not its keys, which are joined to those of each row.
        if len(distinct) == 1 and not self._takes_prefix:
            adapters = list(distinct)
        present = [adapter for adapter in distinct if adapter is not None]
        plan = self._plan(frozenset(adapter.layout for adapter in present))
        lengths: dict[Axis, int] = {}
        for adapter in present:
            for axis, length in adapter.lengths.items():
                lengths[axis] = max(lengths.get(axis, 0), length)
        found: dict[Part, Array] = {}
        for group, group_plan in plan.items():
            block = self._block(group, group_plan, adapters, lengths[group.axis])
            found.update(zip(group_plan.parts, block, strict=True))
        inputs: list[Any] = [
            found[part] if part in found else _nothing(group, rows) for part, group in self._parts.items()
        ]
        if self._takes_relu:
            inputs.append(np.array([a is not None and a.is_relu for a in adapters])[:, None, None])
        if self._takes_prefix:
            inputs.append(_seen(adapters, tokens))
        return inputs

    def _plan(self, layouts: frozenset[Layout]) -> dict[Group, _GroupPlan]:
        plan = self._plans.get(layouts)
        if plan is None:
            if len(self._plans) >= self._MAX_PLANS:
                self._plans.clear()
            groups = {group for layout in layouts for group in layout.parts}
            plan = self._plans[layouts] = {group: _plan_group(group, layouts) for group in groups}
        return plan

    def _block(self, group: Group, plan: _GroupPlan, adapters: Sequence[OpenVinoAdapter | None], length: int) -> Array:
        """Returns [parts, rows, length, width]; a row without an adapter has zeros, an exact no-op."""
        if len(adapters) == 1 and adapters[0] is not None:
            own_block: Array = adapters[0].blocks[group][:, None]
            return own_block
        block = self._take(group, (len(plan.parts), len(adapters), length, group.width))
        for row, adapter in enumerate(adapters):
            values = None if adapter is None else adapter.blocks.get(group)
            if adapter is None or values is None:
                block[:, row] = 0
                continue
            own, places = values.shape[1], plan.places[adapter.layout]
            if places is None:
                block[:, row, :own] = values
                block[:, row, own:] = 0
            else:
                block[:, row] = 0
                block[places, row, :own] = values
        return block

    def _take(self, group: Group, shape: tuple[int, ...]) -> Array:
        """Returns memory of this shape, with anything in it: fresh memory would cost a fault of each page."""
        size = int(np.prod(shape))
        memory = self._memory.get(group)
        if memory is None or memory.size < size:
            memory = self._memory[group] = np.empty(size, dtype=np.float32)
        return memory[:size].reshape(shape)


def _plan_group(group: Group, layouts: Iterable[Layout]) -> _GroupPlan:
    having = [layout for layout in layouts if group in layout.parts]
    parts = tuple(sorted({part for layout in having for part in layout.parts[group]}))
    place_of = {part: place for place, part in enumerate(parts)}
    places = {
        layout: None if layout.parts[group] == parts else np.array([place_of[part] for part in layout.parts[group]])
        for layout in having
    }
    return _GroupPlan(parts, places)


def _nothing(group: Group, rows: int) -> Array:
    """What a graph is given for a part that no row has; a length of 0 is not everywhere supported."""
    return np.zeros((rows if group.axis == "virtual" else 1, 1, group.width), dtype=np.float32)


def _seen(adapters: Sequence[OpenVinoAdapter | None], tokens: int) -> Any:
    """Returns [rows, 1, tokens, virtual]: which virtual tokens a row has."""
    lengths = np.array([0 if adapter is None else adapter.virtual for adapter in adapters])
    columns = np.arange(max(1, lengths.max()))[None, :] < lengths[:, None]
    return np.repeat(columns[:, None, None, :], tokens, axis=2)
