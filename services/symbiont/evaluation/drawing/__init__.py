"""Pictures of what was found, as SVG."""
