"""Catalogues: entries that are embedded once and then matched with queries."""
