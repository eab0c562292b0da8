"""Recipe of the ``blazeface_short`` models."""
