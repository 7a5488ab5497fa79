"""What a participant does outside the trial: joining, consent, coming back, and the person's own data; with the pages."""
