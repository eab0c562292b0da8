"""How a product is answered for: risk register, redesign log, transparency report. Files in, pages out."""
