"""Rows with known faults: what the gate is to find in them is known beforehand."""

import random
from collections.abc import Sequence

from symbiont.training.data.rows import Row

TOPICS = {
    "card": [
        "my card was declined",
        "the card is blocked",
        "银行卡被冻结了",
        "replace the lost card",
        "卡片丢失需要补办",
    ],
    "loan": [
        "interest on my loan",
        "the loan was repaid",
        "贷款利率是多少",
        "extend the loan by a year",
        "提前还清贷款",
    ],
    "transfer": [
        "send money abroad",
        "the transfer is late",
        "转账没有到账",
        "wire money to my sister",
        "撤销这笔转账",
    ],
    "account": [
        "close my account",
        "open a savings account",
        "账户余额不对",
        "the account balance is wrong",
        "注销账户",
    ],
}
FILLER = [
    *(
        "please",
        "today",
        "again",
        "as soon as you can",
        "at the branch in town",
        "since last week",
        "without any reason",
    ),
    *("麻烦尽快处理", "谢谢", "已经等了三天", "在手机上操作", "昨天开始", "请问", "客服没有回复", "我不太明白"),
]


def labelled(count: int, seed: int = 0) -> list[Row]:
    """Returns different rows of four classes in turn, half of them Chinese in part."""
    source, names = random.Random(seed), list(TOPICS)
    rows: dict[str, Row] = {}
    while len(rows) < count:
        name = names[len(rows) % len(names)]
        parts = [
            source.choice(TOPICS[name]),
            *source.sample(FILLER, 3),
            f"{source.choice('NRKT')}{source.randrange(10**5)}",
        ]
        source.shuffle(parts)
        text = " ".join(parts)
        rows.setdefault(text, Row(text, name))
    return list(rows.values())


def flipped(rows: Sequence[Row], share: float, seed: int = 0) -> tuple[list[Row], set[int]]:
    """Returns rows of which a share has another class, and which these are."""
    source, names = random.Random(seed), sorted(TOPICS)
    chosen = set(source.sample(range(len(rows)), round(share * len(rows))))
    made = [
        Row(row.text, source.choice([n for n in names if n != row.label])) if place in chosen else row
        for place, row in enumerate(rows)
    ]
    return made, chosen


def nearly(row: Row, seed: int) -> Row:
    """Returns a row with one character more, somewhere."""
    place = random.Random(seed).randrange(len(row.text) + 1)
    return Row(f"{row.text[:place]}~{row.text[place:]}", row.label)
