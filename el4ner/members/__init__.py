"""What answers a request: Transformers in process, vLLM over HTTP, recorded answers; and the cache before them."""
