"""A clock that stands until a test sets it."""


class Clock:
    """Seconds, which pass where a test says so."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
