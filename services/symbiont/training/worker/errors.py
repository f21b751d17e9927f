"""How a training can end before its end."""


class Diverged(Exception):
    """The loss or the gradient is not finite any more."""


class Unusable(Exception):
    """What the job is to use cannot be used: something of the customer's own, or what it had learnt."""


class StopRequested(Exception):
    """The worker was asked to stop; unless it was to drop everything, a checkpoint of the last whole step is stored."""


class RankLost(Exception):
    """Another rank of this attempt cannot be reached any more."""
