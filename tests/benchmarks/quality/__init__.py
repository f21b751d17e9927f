"""What the benchmark of quality is made of: real sets, the base that they are learnt on, one training, its table."""
