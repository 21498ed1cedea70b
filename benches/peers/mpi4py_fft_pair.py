"""mpi4py-fft: pairs of a distributed r2c and c2r. mpi4py_fft_pair.py N REPEATS [single]: median seconds of a pair."""
import statistics
import sys

import numpy as np
from mpi4py import MPI
from mpi4py_fft import PFFT, newDistArray

n, repeats = int(sys.argv[1]), int(sys.argv[2])
dtype = np.float32 if sys.argv[3:] == ["single"] else np.float64
comm = MPI.COMM_WORLD
fft = PFFT(comm, [n, n, n], axes=(0, 1, 2), dtype=dtype)
mesh, modes = newDistArray(fft, False), newDistArray(fft, True)
mesh[:] = 0
seconds = []
for i in range(repeats + 1):
    comm.Barrier()
    start = MPI.Wtime()
    fft.forward(mesh, modes)
    fft.backward(modes, mesh)
    seconds.append(comm.allreduce(MPI.Wtime() - start, MPI.MAX))
if comm.rank == 0:
    print(f"{statistics.median(seconds[1:]):.6f}")
