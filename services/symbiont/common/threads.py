"""How threads of numeric libraries wait: asleep.

By default they spin, and take the cores from whatever runs beside them: measured on two busy cores, a training step
took 18 times as long.
"""

QUIET = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
