"""Turn a COCO JSON into flat arrays: the program of a child process, which imports nothing of densezoo.

`json` needs several times the file's size in Python objects, and an interpreter keeps most of that memory for itself
once it has it. So the parser runs in a process of its own, writes one `.npy` per column, and ends; `array_cache` starts
it and memory-maps what it wrote. It needs only the standard library and NumPy, so that it starts in a tenth of a
second. The child knows this package as `coco_parser`, without the packages above it (they import torch), and that is
why its modules import one another relatively.
"""
