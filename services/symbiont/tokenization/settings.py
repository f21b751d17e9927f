"""Settings of the tokenization service."""

import os

from pydantic import Field

from symbiont.common.settings import ServiceSettings


class TokenizationSettings(ServiceSettings):
    """What the tokenization service needs to run."""

    address: str = Field("127.0.0.1:50051", description="host:port that gRPC listens on; port 0 takes a free one")
    metrics_address: str = Field("127.0.0.1:9101", description="host:port that serves Prometheus metrics")
    max_texts: int = Field(4096, gt=0, description="most texts in a batch")
    max_batch_bytes: int = Field(12 << 20, gt=0, description="largest batch, in bytes; one text may take all of it")
    max_held_bytes: int = Field(
        64 << 20, gt=0, description="most bytes of text that wait or are in work; beyond that calls are turned away"
    )
    max_streams: int = Field(64, gt=0, description="most streams that are open at a time")
    cached_tokenizers: int = Field(16, gt=0, description="most tokenizers held in memory")
    encode_threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1, gt=0, description="batches that are encoded at the same time"
    )
