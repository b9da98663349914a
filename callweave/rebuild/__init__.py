"""`callweave rebuild`: the log's sessions folded anew, compared with the warehouse, and laid down where they differ."""
