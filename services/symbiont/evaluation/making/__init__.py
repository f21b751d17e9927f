"""From what a model gives to what an outcome keeps, where that takes more than logits."""
