"""Answers to what faust-streaming 0.15.3 loses: one class per defect, the defect named."""
