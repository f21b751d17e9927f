"""From an uploaded file to checked rows in the artifact store."""
