"""Whether a version may take over an alias: the policy, what is judged by it, who approves, and the record of all that.

`promotion.py` has the use cases, `training/judging/` the process that judges; the store enforces the policy in the same
transaction that moves an alias.
"""
