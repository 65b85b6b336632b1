"""What the stages of a run did, how fast, and how near their limits."""
