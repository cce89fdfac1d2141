"""Networks with a memory, as building blocks for your own models; they need only torch."""
