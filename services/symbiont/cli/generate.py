"""`symbiont generate`: has a language model write."""

import json
import sys
from typing import Annotated

import typer

from symbiont.api.inference.v1.generation_pb2 import FinishReason, GenerateResponse, GenerationEnd, Sampling
from symbiont.cli.console import make_console
from symbiont.cli.target import with_client
from symbiont.client import Client

_PREFIX = "FINISH_REASON_"


@with_client
def generate(
    client: Client,
    base: Annotated[str, typer.Argument(help="Id of the base model: a language model.")],
    prompt: Annotated[str, typer.Argument(help="What to answer; with --raw, what to continue. - reads stdin.")],
    raw: Annotated[bool, typer.Option("--raw", help="Continue the text as it is, without the chat template.")] = False,
    system: Annotated[str, typer.Option(help="Instructions that come before the prompt.")] = "",
    max_tokens: Annotated[int, typer.Option(min=0, help="Most tokens to generate; 0: the service's default.")] = 0,
    temperature: Annotated[float, typer.Option(min=0, help="0: always the likeliest token.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0, help="Draw from the likeliest tokens of this sum; 0: all.")] = 0.0,
    top_k: Annotated[int, typer.Option(min=0, help="Draw from so many likeliest tokens; 0: all.")] = 0,
    repetition_penalty: Annotated[float, typer.Option(min=0, help="Over 1: repeat less; 0: no penalty.")] = 0.0,
    seed: Annotated[int | None, typer.Option(min=0, help="Makes what is drawn repeatable.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Text that ends the generation; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Generates text, and prints it as it is made.

    Example: symbiont generate smollm2 "What is the capital of France?" --max-tokens 50
    """
    if raw and system:
        raise typer.BadParameter("--raw sends the text alone", param_hint="--system")
    text = sys.stdin.read() if prompt == "-" else prompt
    turns = [("system", system)] if system else []
    parts = client.generate(
        base,
        text if raw else None,
        messages=None if raw else [*turns, ("user", text)],
        max_tokens=max_tokens,
        stop=stop or (),
        sampling=Sampling(
            temperature=temperature, top_p=top_p, top_k=top_k, repetition_penalty=repetition_penalty, seed=seed
        ),
    )
    seen: list[GenerateResponse] = []
    for part in parts:
        seen.append(part)
        if not as_json:
            print(part.delta.text, end="", flush=True)
    _print_json(seen) if as_json else _print_facts(seen)


def _print_json(parts: list[GenerateResponse]) -> None:
    served, end = parts[0].start.served_generator, parts[-1].end
    answer = {
        "text": "".join(part.delta.text for part in parts),
        "finish_reason": _reason(end),
        "prompt_tokens": end.prompt_tokens,
        "output_tokens": end.output_tokens,
        "base_model": served.base_model,
        "base_digest": served.base_digest,
        "tokenizer_digest": served.tokenizer_digest,
    }
    print(json.dumps(answer, ensure_ascii=False))


def _print_facts(parts: list[GenerateResponse]) -> None:
    print()
    served, end = parts[0].start.served_generator, parts[-1].end
    first, speed = end.times.first_token.ToNanoseconds() / 1e6, end.times.tokens_per_second
    # Beside the text, for a person: a pipe gets the text alone.
    make_console(stderr=True).print(
        f"[dim]{served.base_model}  {served.base_digest[:12]}  {_reason(end)}  {end.prompt_tokens} + "
        f"{end.output_tokens} tokens, first after {first:.0f} ms, then {speed:.1f} tokens/s[/]"
    )


def _reason(end: GenerationEnd) -> str:
    return FinishReason.Name(end.finish_reason).removeprefix(_PREFIX).lower()
