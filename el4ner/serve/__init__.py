"""vLLM servers on one machine: how much memory each needs, which device it goes to, and keeping them up."""
