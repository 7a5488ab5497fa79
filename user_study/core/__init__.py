"""What every room of the study uses: clock, errors, settings, the folder, accounts, codes, images, the audit log."""
