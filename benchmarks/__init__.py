"""What is measured, against what. `python -m benchmarks` runs all quick ones; figures go to benchmarks/results/."""
