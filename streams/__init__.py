"""The join: a pure core that folds reports into sessions, and the Faust engine that runs it."""
