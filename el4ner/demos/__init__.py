"""The labelled pool, span vectors, span weights, similarity, the FAISS index and retrieval of demonstrations."""
