"""De-identification: entities of documents are replaced by tags or pseudonyms (``python -m el4ner.mask``)."""
