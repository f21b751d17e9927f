"""Text from language models: a prompt in, a stream of text out, computed by Triton."""
