"""What may leave the device, in one schema: off by default, sealed when it is made, and everybody can see it."""
