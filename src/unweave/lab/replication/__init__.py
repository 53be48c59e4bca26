"""Claims of a paper, the run that tests each, and the verdict."""
