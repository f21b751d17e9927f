"""What a worker is asked to do between two steps."""

from enum import IntEnum


class Command(IntEnum):
    """The higher one wins when several are asked for."""

    GO = 0
    # Make a checkpoint and stop: the job goes on later.
    STOP = 1
    # Train no more: judge and store the best there is.
    FINISH = 2
    # Stop: nothing is wanted of it.
    DROP = 3
