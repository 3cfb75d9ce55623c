"""Ray: clusters, pools of worker processes, and what keeps both safe and clean."""
