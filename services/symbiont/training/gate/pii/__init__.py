"""What in a text tells of a person: recognisers, and what stands in its place."""
