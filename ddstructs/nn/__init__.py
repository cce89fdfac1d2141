"""Networks with a memory, for a user's own model: torch only."""
