"""Compose the rooms of :mod:`omics` into commands, graphs of artefacts, and runs on clusters."""

#: Environment that sets the threads of one BLAS or OpenMP call. Tasks are what runs in parallel, so each has one.
BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
