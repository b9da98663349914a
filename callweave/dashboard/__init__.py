"""The page people look at: a read-only web page over the warehouse and the pipeline, served from this package alone."""
