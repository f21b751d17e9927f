"""The options that say what is trained: those of `symbiont train` and `symbiont plan`."""

import functools
import inspect
import json
import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from symbiont.api.training.v1.training_job_pb2 import TrainingSpec
from symbiont.client import Client, training_spec

P = ParamSpec("P")
_COST = re.compile(r"(?P<truth>.+):(?P<answer>.+)=(?P<cost>[-+]?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?)")
_HEAD, _METHOD, _LOOP, _JUDGING, _START = "Head", "Method", "Training loop", "Judging", "Training on from a version"
_DECISIONS = "Decisions"


class Method(StrEnum):
    """What is trained beside the head."""

    LORA = "lora"
    ADALORA = "adalora"
    HOULSBY = "houlsby"
    BITFIT = "bitfit"
    PREFIX = "prefix"
    HEAD_ONLY = "head-only"
    FULL = "full"


class Fusion(StrEnum):
    """How business fields meet the text."""

    CONCATENATED = "concatenated"
    GATED = "gated"


class Head(StrEnum):
    """What the model answers."""

    CLASSIFICATION = "classification"
    MULTI_LABEL = "multi-label"
    SCORE = "score"
    ENTITIES = "entities"
    SPANS = "spans"
    EMBEDDING = "embedding"


def option(panel: str, text: str, *names: str) -> Any:
    """Returns an option of a panel; its default is the service's, which the text says."""
    return typer.Option(*names, help=text, show_default=False, rich_help_panel=panel)


def spec_of(
    model: Annotated[str, typer.Argument(help="Model that gets a new version; made if it does not exist.")],
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Rows to learn from.")],
    base: Annotated[str, typer.Option("--base", "-b", help="Base model to train on.")],
    evaluation_dataset: Annotated[str | None, option(_JUDGING, "Dataset to judge by.")] = None,
    holdout_fraction: Annotated[
        float | None, option(_JUDGING, "Share of the dataset kept apart to judge by (default: 0.2).")
    ] = None,
    method: Annotated[Method | None, option(_METHOD, "What is trained beside the head (default: lora).")] = None,
    rank: Annotated[int | None, option(_METHOD, "lora, adalora: rank, of AdaLoRA the average (default: 8).")] = None,
    alpha: Annotated[float | None, option(_METHOD, "lora, adalora: scale (default: twice the first rank).")] = None,
    dropout: Annotated[float | None, option(_METHOD, "lora, adalora: dropout (default: 0.05).")] = None,
    target_modules: Annotated[
        list[str] | None,
        option(
            _METHOD,
            "lora, adalora, houlsby: end of the names of the linear layers to change; repeat for more (default: query "
            "and value, of houlsby the last of attention and feed-forward).",
            "--target-module",
        ),
    ] = None,
    rank_stabilized: Annotated[
        bool | None, option(_METHOD, "lora: scale by the root of the rank (rsLoRA).", "--rank-stabilized")
    ] = None,
    b_learning_rate_ratio: Annotated[
        float | None, option(_METHOD, "lora: how many times faster B learns than A (LoRA+, default: 1).")
    ] = None,
    initial_rank: Annotated[
        int | None, option(_METHOD, "adalora: rank before pruning (default: one and a half times the rank).")
    ] = None,
    orthogonality: Annotated[
        float | None, option(_METHOD, "adalora: weight of the term that keeps P and Q orthogonal (default: 0.1).")
    ] = None,
    size: Annotated[int | None, option(_METHOD, "houlsby: width of the bottleneck (default: 32).")] = None,
    virtual_tokens: Annotated[int | None, option(_METHOD, "prefix: how many (default: 16).")] = None,
    projection_size: Annotated[
        int | None, option(_METHOD, "prefix: width of the network it comes out of in training (default: none).")
    ] = None,
    head: Annotated[
        Head | None, option(_HEAD, "What the model answers (default: what the labels of the dataset are).")
    ] = None,
    labels: Annotated[
        list[str] | None,
        option(
            _HEAD,
            "classification, multi-label, entities: label, in order; repeat (default: those of the dataset).",
            "--label",
        ),
    ] = None,
    balanced: Annotated[
        bool | None,
        option(_HEAD, "classification, multi-label: every label counts alike, however few rows it has.", "--balanced"),
    ] = None,
    focal_gamma: Annotated[
        float | None, option(_HEAD, "classification: how much less rows count that are right already (default: 0).")
    ] = None,
    label_smoothing: Annotated[
        float | None, option(_HEAD, "classification: share of certainty spread over all labels (default: 0).")
    ] = None,
    costs: Annotated[
        list[str] | None,
        option(
            _DECISIONS,
            "classification: what it costs to answer a label where another is true, as TRUE:ANSWERED=COST; repeat "
            "(default: 1 for each error).",
            "--cost",
        ),
    ] = None,
    positive_label: Annotated[
        str | None, option(_DECISIONS, "classification: of two labels the one to be found; goes with the next two.")
    ] = None,
    false_positive_cost: Annotated[
        float | None, option(_DECISIONS, "classification: what it costs to answer it where the other is true.")
    ] = None,
    false_negative_cost: Annotated[
        float | None, option(_DECISIONS, "classification: what it costs to answer the other where it is true.")
    ] = None,
    tune_thresholds: Annotated[
        bool | None,
        option(
            _DECISIONS,
            "multi-label: each label holds from the probability of its highest F1 (default: 0.5).",
            "--tune-thresholds",
        ),
    ] = None,
    minimum: Annotated[float | None, option(_HEAD, "score: least number answered; goes with --maximum.")] = None,
    maximum: Annotated[float | None, option(_HEAD, "score: greatest number answered.")] = None,
    max_answer_tokens: Annotated[int | None, option(_HEAD, "spans: longest answer in tokens (default: 30).")] = None,
    always_answers: Annotated[
        bool | None,
        option(
            _HEAD,
            "spans: answer each question, however probable it is that there is no answer "
            "(default: where each row to learn from has one).",
            "--always-answers/--not-always-answers",
        ),
    ] = None,
    embedding_size: Annotated[
        int | None, option(_HEAD, "embedding: length of the vector (default: that of the base).")
    ] = None,
    temperature: Annotated[
        float | None, option(_HEAD, "embedding: what cosines are divided by in training (default: 0.05).")
    ] = None,
    business_fields: Annotated[
        list[str] | None,
        option(
            _HEAD, "Business field that the head gets beside the text; repeat, or say all (default: none).", "--field"
        ),
    ] = None,
    fusion: Annotated[
        Fusion | None, option(_HEAD, "How business fields meet the text (default: concatenated).")
    ] = None,
    hidden_layers: Annotated[
        list[int] | None,
        option(_HEAD, "Width of a layer before the last one; repeat for more (default: none).", "--hidden-layer"),
    ] = None,
    windows: Annotated[
        bool, option(_HEAD, "Read texts over --max-tokens in windows, in place of cutting them.", "--windows")
    ] = False,
    own_module: Annotated[
        str | None,
        option(
            _HEAD,
            "Layers of your own before the head's, by their name among the entry points symbiont.modules.",
            "--module",
        ),
    ] = None,
    module_settings: Annotated[
        str | None, option(_HEAD, "Settings that --module is made with, as a JSON object: '{\"size\": 16}'.")
    ] = None,
    epochs: Annotated[int | None, option(_LOOP, "Passes over the rows (default: 3).")] = None,
    batch_size: Annotated[int | None, option(_LOOP, "Rows a step (default: 16).")] = None,
    learning_rate: Annotated[
        float | None,
        option(
            _LOOP, "Peak learning rate (default: what the method wants, from 0.00005 of full to 0.01 of a head alone)."
        ),
    ] = None,
    weight_decay: Annotated[float | None, option(_LOOP, "Weight decay (default: 0.01).")] = None,
    warmup_fraction: Annotated[float | None, option(_LOOP, "Share of steps that warm up (default: 0.06).")] = None,
    max_gradient_norm: Annotated[float | None, option(_LOOP, "Largest norm of the gradient (default: 1).")] = None,
    max_tokens: Annotated[int | None, option(_LOOP, "Longest text in tokens (default: 256 or the base's).")] = None,
    seed: Annotated[int | None, option(_LOOP, "Seed of everything random (default: 0).")] = None,
    checkpoint_interval: Annotated[int | None, option(_LOOP, "Steps between checkpoints (default: 50).")] = None,
    accumulation_steps: Annotated[
        int | None, option(_LOOP, "Batches whose gradients make one step (default: 1).")
    ] = None,
    evaluate_checkpoints: Annotated[
        bool | None,
        option(
            _JUDGING,
            "Judge each checkpoint on the held-out rows, so that the best is known (default: with a budget).",
            "--evaluate-checkpoints/--no-evaluate-checkpoints",
        ),
    ] = None,
    patience: Annotated[
        int | None, option(_JUDGING, "End after so many checkpoints without a better one (default: at the last step).")
    ] = None,
    selection_metric: Annotated[
        str | None, option(_JUDGING, "Measure by which a checkpoint is better, as macro_f1 (default: loss).")
    ] = None,
    keep_best: Annotated[
        bool | None,
        option(
            _JUDGING,
            "Make the version of the best checkpoint, not the last (default: with --patience).",
            "--keep-best/--keep-last",
        ),
    ] = None,
    bf16: Annotated[
        bool, option(_LOOP, "Compute products of matrices in bf16, on machines that have it (default: fp32).", "--bf16")
    ] = False,
    ranks: Annotated[int | None, option(_LOOP, "Processes that train data-parallel (default: 1).")] = None,
    start_from: Annotated[
        str | None,
        option(_START, "Train on from MODEL/versions/NUMBER or MODEL@ALIAS, in its shape (default: from the base)."),
    ] = None,
    replay: Annotated[
        bool | None, option(_START, "Learn rows again of the dataset of the version to start from.", "--replay")
    ] = None,
    replay_dataset: Annotated[str | None, option(_START, "Learn rows of this dataset again.")] = None,
    replay_fraction: Annotated[float | None, option(_START, "Share of them to learn again (default: 0.2).")] = None,
    replay_rows: Annotated[int | None, option(_START, "How many of them to learn again.")] = None,
    allow_new_labels: Annotated[
        bool | None, option(_START, "Learn labels that the version does not know.", "--allow-new-labels")
    ] = None,
    accept_changed_labels: Annotated[
        bool | None,
        option(_START, "Train although labels look exchanged to the version.", "--accept-changed-labels"),
    ] = None,
) -> TrainingSpec:
    """Returns the spec that the options describe."""
    return training_spec(
        base_model=base,
        dataset=dataset,
        model=model,
        evaluation_dataset=evaluation_dataset,
        holdout_fraction=holdout_fraction,
        method=method.value if method else None,
        rank=rank,
        alpha=alpha,
        dropout=dropout,
        target_modules=target_modules,
        rank_stabilized=rank_stabilized,
        b_learning_rate_ratio=b_learning_rate_ratio,
        initial_rank=initial_rank,
        orthogonality=orthogonality,
        size=size,
        virtual_tokens=virtual_tokens,
        projection_size=projection_size,
        head=head.value if head else None,
        labels=labels,
        balanced=balanced,
        focal_gamma=focal_gamma,
        label_smoothing=label_smoothing,
        costs=costs_of(costs or []),
        positive_label=positive_label,
        false_positive_cost=false_positive_cost,
        false_negative_cost=false_negative_cost,
        tune_thresholds=tune_thresholds,
        minimum=minimum,
        maximum=maximum,
        max_answer_tokens=max_answer_tokens,
        always_answers=always_answers,
        embedding_size=embedding_size,
        temperature=temperature,
        business_fields="all" if business_fields == ["all"] else business_fields,
        fusion=fusion.value if fusion else None,
        hidden_layers=hidden_layers,
        windows=windows,
        own_module=own_module,
        module_settings=settings_of(module_settings),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        warmup_fraction=warmup_fraction,
        max_gradient_norm=max_gradient_norm,
        max_tokens=max_tokens,
        seed=seed,
        checkpoint_interval=checkpoint_interval,
        accumulation_steps=accumulation_steps,
        evaluate_checkpoints=evaluate_checkpoints,
        patience=patience,
        selection_metric=selection_metric,
        keep_best=keep_best,
        bf16=bf16,
        ranks=ranks,
        start_from=start_from,
        replay=replay_dataset or replay,
        replay_fraction=replay_fraction,
        replay_rows=replay_rows,
        allow_new_labels=allow_new_labels,
        accept_changed_labels=accept_changed_labels,
    )


def settings_of(given: str | None) -> dict[str, Any] | None:
    """Returns what a JSON object says."""
    try:
        found = json.loads(given or "{}")
    except ValueError as exc:
        raise typer.BadParameter(f"it is no JSON: {exc}", param_hint="--module-settings") from exc
    if not isinstance(found, dict):
        raise typer.BadParameter("it is no JSON object", param_hint="--module-settings")
    return found


def costs_of(given: Sequence[str]) -> dict[tuple[str, str], float]:
    """Returns what TRUE:ANSWERED=COST say."""
    found: dict[tuple[str, str], float] = {}
    for each in given:
        match = _COST.fullmatch(each)
        if match is None:
            raise typer.BadParameter(f"{each!r} is not of the form TRUE:ANSWERED=COST", param_hint="--cost")
        found[match["truth"], match["answer"]] = float(match["cost"])
    return found


def with_spec(
    command: Callable[Concatenate[Client, TrainingSpec, P], None],
) -> Callable[Concatenate[Client, ...], None]:
    """Gives a command the options of `spec_of` in place of its second parameter, which becomes what they describe."""
    named = inspect.signature(spec_of).parameters

    @functools.wraps(command)
    def run(client: Client, *args: Any, **kwargs: Any) -> None:
        spec = spec_of(**{name: kwargs.pop(name) for name in named})
        command(client, spec, *args, **kwargs)

    first, _, *own = inspect.signature(command).parameters.values()
    # What `with_client` and typer read.
    run.__signature__ = inspect.Signature([first, *named.values(), *own])  # type: ignore[attr-defined]
    return run
