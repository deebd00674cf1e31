"""What ships with the package: models, pool and span embedder of the quick start, and how they were made."""
