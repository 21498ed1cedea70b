//! How many ranks were started, as the launcher's environment tells it.

use super::Comm;
use crate::error::{Error, Result};

/// What launchers set for the ranks of the step that they start: Open MPI's `mpirun`, PMI (MPICH's `mpiexec`,
/// `srun --mpi=pmi2`), and `srun` itself. The nearest comes first: `mpirun` within a job starts its helpers by `srun`.
/// The job's own `SLURM_NTASKS` is not among them, for a script may well start fewer ranks.
pub const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

/// Refuses a world that is smaller than what was started: many worlds of one rank would each believe to be the whole
/// job.
pub fn check(world: &Comm) -> Result<()> {
    let started = SIZES.iter().find_map(|name| Some((name, std::env::var(name).ok()?.trim().parse::<usize>().ok()?)));
    let Some((name, started)) = started.filter(|&(_, started)| started > world.size()) else { return Ok(()) };
    let problem =
        format!("{started} ranks were started, but MPI finds {} of them: they do not see each other", world.size());
    Err(Error::input(problem).key(*name).value(started).remedy(
        "start with `srun --mpi=pmix`, or the mpirun of the MPI that polycosm was built with (`polycosm doctor` names it); in a \
         shell within a job step, unset that variable",
    ))
}
