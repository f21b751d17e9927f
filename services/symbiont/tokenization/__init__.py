"""The tokenization service: text in, token ids out, with the exact tokenizer that a model was trained with."""
