//! The program: `polycosm::cli` does all of it, for a program with simulators of its own as well
//! (`examples/gaussian.rs`).

fn main() {
    polycosm::cli::main(std::env::args_os())
}
