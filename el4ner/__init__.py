"""el4ner: named entities by an ensemble of small open language models, on your own machines."""

__version__ = "0.1.0"
