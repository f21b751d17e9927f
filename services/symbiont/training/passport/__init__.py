"""What a version came out of, and what is known of it: the passport, and the report for people."""
