"""What a job would take, found out before it is queued: a probe trains a few steps with the worker's own code."""
