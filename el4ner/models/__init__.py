"""Language models by name: which there are, how to get them, and the forms in which engines take them."""
