"""Kernels in Triton, which takes long to import and is not everywhere: each is imported only where it runs."""
