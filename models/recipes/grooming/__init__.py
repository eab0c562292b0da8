"""How the grooming text model was made: phrasings by several writers, benign corpora, training, measurement."""
