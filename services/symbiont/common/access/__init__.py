"""Who may call what, whose resources are whose, and the record of it."""
