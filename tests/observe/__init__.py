"""What a person on call wants to have seen once: looks at a running suite from outside."""
