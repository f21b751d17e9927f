"""Studies of training jobs: which method is worth its compute, and which hyperparameters are best.

A study is a client of the training service, which keeps its jobs: whoever begins it again goes on where it was.
"""
