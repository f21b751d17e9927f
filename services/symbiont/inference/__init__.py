"""The inference service: text in, the answer of a customer's model out, computed by Triton on a shared host."""
