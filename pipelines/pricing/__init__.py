"""What a run will cost before it is made: counts, measured rates, and the time that follows."""
