"""Int8: makes the quantised form of a base, and checks which bundles may be computed in it.

The only part of training that knows the engine, so that what is checked is what serves.
"""
