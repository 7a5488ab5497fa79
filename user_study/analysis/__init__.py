"""What researchers see of a study: overview, lists of pairs, participants and traps, statistics, and the check for faults."""
