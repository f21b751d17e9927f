"""Whose rows go to a host next, how many at a time, and who is turned away: no row waits anywhere but here."""
