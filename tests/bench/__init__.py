"""Figures for the budgets: `make bench`, or `make bench QUICK=1`. Ratios within one run; machines are noisy."""
