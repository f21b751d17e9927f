"""How a training can end before its end."""


class Diverged(Exception):
    """The loss or the gradient is not finite any more."""


class StopRequested(Exception):
    """The worker was asked to stop; the state is that after the last whole step."""
