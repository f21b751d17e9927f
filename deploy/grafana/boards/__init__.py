"""The dashboards, a module each; `generate.py` writes them."""
