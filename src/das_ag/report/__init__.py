"""From finished samples to what a person looks at."""
