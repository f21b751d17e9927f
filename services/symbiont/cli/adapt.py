"""`symbiont bases adapt`: makes a base that knows the language of a domain, out of another one."""

from enum import StrEnum
from typing import Annotated

import typer

from symbiont.cli.spec import option
from symbiont.cli.target import with_client
from symbiont.cli.train import DeadlineMinutes, MaxCost, MaxMinutes, Priority, RequestId, Tenant, Watch, submit
from symbiont.client import Client, training_spec

_MASKS, _METHOD, _LOOP, _JUDGING = "Masked tokens", "Method", "Training loop", "Judging"


class Method(StrEnum):
    """What is trained."""

    FULL = "full"
    LORA = "lora"


@with_client
def adapt(
    client: Client,
    name: Annotated[str, typer.Argument(help="Id of the base that is made; not there yet.")],
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Texts of the domain; labels are not read.")],
    base: Annotated[str, typer.Option("--base", "-b", help="Base that it is made of; stays as it is.")],
    tokenizer: Annotated[
        str | None,
        option(_MASKS, "Tokenizer with terms of the domain, of `symbiont tokenizers derive` (default: the base's)."),
    ] = None,
    mask_fraction: Annotated[
        float | None, option(_MASKS, "Share of the tokens that are hidden, up to 0.5 (default: 0.15).")
    ] = None,
    whole_words: Annotated[bool | None, option(_MASKS, "Hide whole words.", "--whole-words")] = None,
    method: Annotated[
        Method | None, option(_METHOD, "All of the base, or an update that is added to it (default: full).")
    ] = None,
    rank: Annotated[int | None, option(_METHOD, "lora: rank (default: 8).")] = None,
    epochs: Annotated[
        int | None, option(_LOOP, "Passes over the texts; with --tokenizer also 0: new terms alone (default: 3).")
    ] = None,
    batch_size: Annotated[int | None, option(_LOOP, "Texts a step (default: 16).")] = None,
    learning_rate: Annotated[
        float | None, option(_LOOP, "Peak learning rate (default: 0.00005, of lora 0.001).")
    ] = None,
    max_tokens: Annotated[
        int | None,
        option(_LOOP, "Longest part of a text read at once, in tokens (default: 256 or the base's)."),
    ] = None,
    seed: Annotated[int | None, option(_LOOP, "Seed of everything random (default: 0).")] = None,
    checkpoint_interval: Annotated[int | None, option(_LOOP, "Steps between checkpoints (default: 50).")] = None,
    ranks: Annotated[int | None, option(_LOOP, "Processes that train data-parallel (default: 1).")] = None,
    evaluation_dataset: Annotated[str | None, option(_JUDGING, "Dataset to judge by.")] = None,
    holdout_fraction: Annotated[
        float | None, option(_JUDGING, "Share of the dataset kept apart to judge by (default: 0.2).")
    ] = None,
    patience: Annotated[
        int | None, option(_JUDGING, "End after so many checkpoints without a better one (default: at the last step).")
    ] = None,
    tenant: Tenant = "",
    priority: Priority = 0,
    max_minutes: MaxMinutes = None,
    max_cost: MaxCost = None,
    deadline_minutes: DeadlineMinutes = None,
    request_id: RequestId = "",
    watch: Watch = False,
) -> None:
    """Makes a base out of another one by showing it texts of a domain, with some of their tokens hidden.

    What is made is a base like any other: models are trained on it, and served beside those of the base that it was
    made of. It takes a host of its own, with another copy in memory.

    Example: symbiont bases adapt minilm-law --base minilm --dataset contracts --watch

    With terms that are one token each from then on:

    symbiont tokenizers derive minilm estoppel subrogation --id law

    symbiont bases adapt minilm-law --base minilm --dataset contracts --tokenizer law --watch
    """
    spec = training_spec(
        base_model=base,
        dataset=dataset,
        derived_base=name,
        tokenizer=tokenizer,
        mask_fraction=mask_fraction,
        whole_words=whole_words,
        method=method.value if method else None,
        rank=rank,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        max_tokens=max_tokens,
        seed=seed,
        checkpoint_interval=checkpoint_interval,
        ranks=ranks,
        evaluation_dataset=evaluation_dataset,
        holdout_fraction=holdout_fraction,
        patience=patience,
    )
    submit(client, spec, tenant, priority, (max_minutes, max_cost, deadline_minutes), request_id, watch=watch)
