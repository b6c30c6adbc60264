"""
What cannot be counted is compared: a time with another one of the same run.

`make benchmark` ends with 1 if a ratio is beyond its bound. The bounds are wide: they show
a step from linear to quadratic, not a change of some tenths. Times by themselves are only
printed; they say as much of the machine as of the worker.
"""
