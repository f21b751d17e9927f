"""The tokenization service: how much it encodes, how long that takes, what it cuts and what it refuses."""

from boards.page import Page, Section, Variable
from boards.panels import (
    BYTES,
    CALLS,
    COUNT,
    SECONDS,
    SHARE,
    TEXTS,
    TOKENS,
    Query,
    at_most,
    figure,
    graph,
    present,
    quantile,
    rate,
    spread,
)

CHOSEN = 'tokenizer=~"$tokenizer"'
SERVICE = 'service="tokenization"'
TEXT, TOKEN = "symbiont_tokenization_texts_total", "symbiont_tokenization_tokens_total"
CUT = f"{rate('symbiont_tokenization_truncated_texts_total', where=CHOSEN)} / {rate(TEXT, where=CHOSEN)}"

NOW = Section(
    "Now",
    [
        [
            figure("Texts", "Texts encoded in a second.", TEXTS, Query(rate(TEXT, where=CHOSEN), "texts")),
            figure(
                "Tokens",
                "Tokens given back in a second, special tokens and padding included.",
                TOKENS,
                Query(rate(TOKEN, where=CHOSEN), "tokens"),
            ),
            figure(
                "Slow calls",
                "99 of 100 calls of Tokenize are answered within this time.",
                SECONDS,
                Query(quantile(0.99, "symbiont_rpc_seconds", where=f'{SERVICE}, rpc="Tokenize"'), "Tokenize"),
                at_most(0.02, 0.1),
            ),
            figure(
                "Texts that are cut",
                "Share of texts that are longer than was asked for, and lose their end.",
                SHARE,
                Query(CUT, "cut"),
            ),
            figure(
                "Calls refused",
                "Calls that were refused in a second, for whatever reason.",
                CALLS,
                Query(rate("symbiont_tokenization_refusals_total"), "refused"),
            ),
        ]
    ],
)

WORK = Section(
    "How much, and how fast",
    [
        [
            graph(
                "Texts by tokenizer",
                "Texts encoded, by the first digits of the tokenizer's digest.",
                TEXTS,
                Query(rate(TEXT, "tokenizer", CHOSEN), "{{tokenizer}}"),
                stacked=True,
            ),
            graph(
                "Tokens by tokenizer",
                "Tokens given back, special tokens and padding included.",
                TOKENS,
                Query(rate(TOKEN, "tokenizer", CHOSEN), "{{tokenizer}}"),
                stacked=True,
            ),
            graph(
                "Texts in a batch",
                "Texts that a call, or one message of a stream, brings together.",
                COUNT,
                *spread("symbiont_tokenization_batch_size", "have no more", CHOSEN),
            ),
        ],
        [
            graph(
                "Time of a call, by method",
                "From the first byte of a call to its status; half of the calls take no longer. A stream counts at "
                "its end.",
                SECONDS,
                Query(quantile(0.5, "symbiont_rpc_seconds", "rpc", f'{SERVICE}, rpc!="Check"'), "{{rpc}}"),
            ),
            graph(
                "Time in the encoder",
                "Time that a batch spends being encoded and laid out in rows.",
                SECONDS,
                *spread("symbiont_tokenization_encode_seconds", where=CHOSEN),
            ),
            graph(
                "Wait for a thread",
                "Time that a batch waits before it is worked on; small ones are worked on at once and do not count.",
                SECONDS,
                *spread("symbiont_tokenization_queue_seconds", seldom=True),
            ),
        ],
    ],
)

LIMITS = Section(
    "What is refused or held",
    [
        [
            graph(
                "Refused calls",
                "Calls that were refused, by reason. OVERLOADED: too much text waits. The rest are callers' mistakes.",
                CALLS,
                Query(present(rate("symbiont_tokenization_refusals_total", "reason"), "reason"), "{{reason}}"),
                stacked=True,
            ),
            graph(
                "Text held",
                "Bytes of text that wait or are in work. Near the limit of the settings, calls are turned away as "
                "OVERLOADED.",
                BYTES,
                Query("sum by (instance) (symbiont_tokenization_held_bytes)", "{{instance}}"),
            ),
            graph(
                "Streams, and batches for nobody",
                "Streams that are open; batches dropped because their caller had gone or their time was over.",
                COUNT,
                Query("sum(symbiont_tokenization_streams)", "streams"),
                Query(rate("symbiont_tokenization_dropped_batches_total", "reason"), "dropped in a second: {{reason}}"),
            ),
        ]
    ],
)

PAGE = Page(
    "tokenization",
    "Tokenization",
    "How many texts are encoded, how long it takes, what is cut and what is refused.",
    [NOW, WORK, LIMITS],
    [Variable("tokenizer", "Tokenizer", TEXT, "tokenizer")],
)
