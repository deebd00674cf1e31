"""Training sets from the pipeline's own prompts, and tuning of members on them."""
