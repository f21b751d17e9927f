"""Whose a resource is, told by its id."""

from symbiont.common.resources import MARK


def tenant_of(identifier: str) -> str:
    """Returns the tenant of `tenant~id`, or of a name with it; empty, for the installation, where there is no `~`."""
    owned = next((segment for segment in identifier.split("/") if MARK in segment), MARK)
    return owned.partition(MARK)[0]
