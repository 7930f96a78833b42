"""What operators look at: the work of the models, where the time of a request goes, and the GPUs.

statistics   counts and times per model
tracing      the spans of single requests
gpus         power, temperature, clock, memory
top          GPUs, queues and request rates, live
backup       jobs, clips and models in one file, and back
command      `reelscope models stats`, `models trace`, `top`, `backup` and `restore`
"""
