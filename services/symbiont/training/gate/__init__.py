"""The data gate: what is done to the rows of a dataset to make another one, and what is found in them on the way."""
