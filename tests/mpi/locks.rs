//! HDF5 opens files so that children inherit them, and with them their locks: a file that one test had open when another
//! started a command would stay locked for as long as the command runs. The process of the tests takes no locks
//! therefore; commands under `mpirun` start with the variables that the tests were started with, and do.

#[ctor::ctor(unsafe)]
fn takes_no_locks() {
    // SAFETY: before `main`, where there is one thread.
    unsafe { std::env::set_var("HDF5_USE_FILE_LOCKING", "FALSE") };
}
