"""Structured logs: one JSON object a line, with the id of the request that it belongs to."""

import logging
import sys

import structlog

from symbiont.common.request_id import add_request


def configure_logging(level: str, log_format: str, service: str) -> None:
    """Sets up structlog for the process. Texts of customers are never logged, only sizes and digests."""
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if log_format == "console" else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            add_request,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


def get_logger() -> structlog.typing.FilteringBoundLogger:
    """Returns the logger of the process."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger
