"""How a training can end before its end."""


class Diverged(Exception):
    """The loss or the gradient is not finite any more."""


class Unusable(Exception):
    """The spec asks for something of the customer's own that cannot be used."""


class StopRequested(Exception):
    """The worker was asked to stop; unless it was to drop everything, a checkpoint of the last whole step is stored."""


class RankLost(Exception):
    """Another rank of this attempt cannot be reached any more."""
