"""What training really does: DPO, replies before and after, and how well that was foreseen."""
