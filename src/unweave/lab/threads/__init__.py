"""Lines of research: question, hypotheses, plan, runs, notes, conclusions, reviews."""
