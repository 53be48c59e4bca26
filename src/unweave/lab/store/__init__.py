"""The lab's index of runs, its seals, and its ledger: SQLite beside the folders, which are the truth."""
