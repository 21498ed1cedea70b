/* FFTW's own MPI transforms: pairs of a distributed r2c and c2r in transposed order, planned with MEASURE.
 *
 *     fftw_mpi N REPEATS [in-place]
 *
 * Prints the median seconds of a pair (the slowest rank's). Double precision, or single with -DSINGLE. */
#include <fftw3-mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef SINGLE
#define FFTW(name) fftwf_##name
typedef float real;
#else
#define FFTW(name) fftw_##name
typedef double real;
#endif

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    FFTW(mpi_init)();
    int rank, ranks;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    ptrdiff_t n = argc > 1 ? atol(argv[1]) : 256;
    int repeats = argc > 2 ? atoi(argv[2]) : 5;
    int in_place = argc > 3 && strcmp(argv[3], "in-place") == 0;
    if (n < 2 || repeats < 1) {
        if (rank == 0) fprintf(stderr, "usage: fftw_mpi N REPEATS [in-place]\n");
        MPI_Finalize();
        return 2;
    }

    ptrdiff_t n0, start0, n1, start1, half = n / 2 + 1;
    ptrdiff_t len = FFTW(mpi_local_size_3d_transposed)(n, n, half, MPI_COMM_WORLD, &n0, &start0, &n1, &start1);
    FFTW(complex) *modes = FFTW(alloc_complex)(len);
    real *mesh = in_place ? (real *)modes : FFTW(alloc_real)(2 * len);
    FFTW(plan) forward = FFTW(mpi_plan_dft_r2c_3d)(n, n, n, mesh, modes, MPI_COMM_WORLD,
                                                    FFTW_MEASURE | FFTW_MPI_TRANSPOSED_OUT);
    FFTW(plan) backward = FFTW(mpi_plan_dft_c2r_3d)(n, n, n, modes, mesh, MPI_COMM_WORLD,
                                                     FFTW_MEASURE | FFTW_MPI_TRANSPOSED_IN);
    for (ptrdiff_t i = 0; i < 2 * len; i++) mesh[i] = 0;

    double *seconds = malloc(repeats * sizeof(double));
    for (int i = -1; i < repeats; i++) { /* the first pair is a warm-up */
        MPI_Barrier(MPI_COMM_WORLD);
        double start = MPI_Wtime(), mine, slowest;
        FFTW(execute)(forward);
        FFTW(execute)(backward);
        mine = MPI_Wtime() - start;
        MPI_Allreduce(&mine, &slowest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
        if (i >= 0) seconds[i] = slowest;
    }
    qsort(seconds, repeats, sizeof(double), ascending);
    if (rank == 0) printf("%.6f\n", seconds[repeats / 2]);

    free(seconds);
    FFTW(destroy_plan)(forward);
    FFTW(destroy_plan)(backward);
    if (!in_place) FFTW(free)(mesh);
    FFTW(free)(modes);
    MPI_Finalize();
    return 0;
}
