"""A span of days as a manager wants to read it, in the terminal and as one HTML file (`callweave report`)."""
