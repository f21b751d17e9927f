"""States that released versions have written, and what their services said on them."""
