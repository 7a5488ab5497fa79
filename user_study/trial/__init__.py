"""A person's trials: which pair comes next, leases, answers, undo, traps, exclusion, points, and the page's JSON interface."""
