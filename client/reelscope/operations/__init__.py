"""What operators look at: the work of the models, and where the time of a request goes.

statistics   counts and times per model
tracing      the spans of single requests
command      `reelscope models stats` and `reelscope models trace`
"""
