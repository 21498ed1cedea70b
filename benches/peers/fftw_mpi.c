/* FFTW's own MPI transform, the peer of `polycosm bench fft`: r2c + c2r of n^3 points in place, transposed output,
 * MEASURE. Prints the median seconds of a pair over the repeats, the slowest rank's.
 * mpicc -O3 [-DSINGLE] fftw_mpi.c -lfftw3_mpi -lfftw3 -lm   (single: -lfftw3f_mpi -lfftw3f)
 * mpirun -n 2 ./a.out N [REPEATS] */
#include <fftw3-mpi.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef SINGLE
#define F(name) fftwf_##name
typedef float real;
#else
#define F(name) fftw_##name
typedef double real;
#endif

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    F(mpi_init)();
    ptrdiff_t n = argc > 1 ? atol(argv[1]) : 256, rows, first, trows, tfirst;
    int repeats = argc > 2 ? atoi(argv[2]) : 5, rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    ptrdiff_t size =
        F(mpi_local_size_3d_transposed)(n, n, n / 2 + 1, MPI_COMM_WORLD, &rows, &first, &trows, &tfirst);
    real *data = F(alloc_real)(2 * size);
    F(complex) *modes = (F(complex) *)data;
    F(plan) forward =
        F(mpi_plan_dft_r2c_3d)(n, n, n, data, modes, MPI_COMM_WORLD, FFTW_MEASURE | FFTW_MPI_TRANSPOSED_OUT);
    F(plan) backward =
        F(mpi_plan_dft_c2r_3d)(n, n, n, modes, data, MPI_COMM_WORLD, FFTW_MEASURE | FFTW_MPI_TRANSPOSED_IN);
    for (ptrdiff_t i = 0; i < 2 * size; i++) data[i] = 0;
    double *seconds = malloc(sizeof(double) * repeats);
    for (int i = -1; i < repeats; i++) {
        MPI_Barrier(MPI_COMM_WORLD);
        double start = MPI_Wtime(), slowest;
        F(execute)(forward);
        F(execute)(backward);
        double took = MPI_Wtime() - start;
        MPI_Allreduce(&took, &slowest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
        if (i >= 0) seconds[i] = slowest;
    }
    qsort(seconds, repeats, sizeof(double), ascending);
    if (rank == 0) printf("%.5f\n", seconds[repeats / 2]);
    free(seconds);
    F(destroy_plan)(forward);
    F(destroy_plan)(backward);
    F(free)(data);
    F(mpi_cleanup)();
    MPI_Finalize();
    return 0;
}
