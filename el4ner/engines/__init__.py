"""What answers a request: a model in process, one behind a server of any kind, recorded answers; and the cache before them."""
