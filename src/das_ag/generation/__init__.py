"""Makes the missing samples of a plan, a batch at a time, and makes finished ones again."""
