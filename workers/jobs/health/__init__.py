"""What the check of a dataset is made of: what it reads, what it measures, and what it finds in the figures."""
