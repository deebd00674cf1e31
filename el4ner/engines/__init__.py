"""What answers a request: a model in process, or one behind a server of any kind; and the cache before them."""
