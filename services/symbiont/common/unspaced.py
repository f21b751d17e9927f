"""Scripts that put no spaces between words: Chinese, Japanese, Korean, Thai."""

import re

_LETTER = re.compile(
    r"[\u0e00-\u0e7f\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)


def has_unspaced(text: str) -> bool:
    """Whether a text has a letter of such a script."""
    return bool(_LETTER.search(text))
