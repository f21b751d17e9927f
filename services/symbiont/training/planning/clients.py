"""The tokenization service as a plan asks it: the worker's own client, and what there is to know of a sample."""

from collections.abc import Sequence
from itertools import islice

import numpy as np

from symbiont.api.tokenization.v1 import tokenization_pb2
from symbiont.common.channel import translated
from symbiont.training.planning.texts import Words
from symbiont.training.planning.workload import Ints
from symbiont.training.worker.clients import TokenizationClient, parts

# Telling languages apart takes longer than tokenizing.
MOST_ANALYZED = 512
TIMEOUT_S = 60.0


class SampleClient(TokenizationClient):
    """Tokenizes as the worker does, and describes."""

    def count(self, digest: str, texts: Sequence[str]) -> Ints:
        """Returns the tokens of each text, special ones included, uncut."""
        counts: list[int] = []
        for part in parts(texts):
            request = tokenization_pb2.CountTokensRequest(tokenizer=f"tokenizers/{digest}", texts=part)
            with translated("tokenization"):
                counts += self._stub.CountTokens(request, timeout=TIMEOUT_S).counts
        return np.array(counts, np.int64)

    def describe(self, digest: str, texts: Sequence[str]) -> Words:
        """Returns languages and unknown tokens of the first few texts."""
        part = next(parts(list(islice(texts, MOST_ANALYZED))))
        request = tokenization_pb2.AnalyzeTextsRequest(tokenizer=f"tokenizers/{digest}", texts=part)
        with translated("tokenization"):
            found = self._stub.AnalyzeTexts(request, timeout=TIMEOUT_S)
        return Words(tuple((share.code, share.share) for share in found.languages), found.figures.unknown_rate)
