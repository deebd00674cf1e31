"""Parts of the benchmark of combination: made-up ensembles, and recorded ones."""
