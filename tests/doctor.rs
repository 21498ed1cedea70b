//! `polycosm doctor` on several ranks.

mod mpi;

#[test]
fn sums_over_ranks_are_checked_and_timed() {
    for ranks in 1..=4 {
        let mut run = mpi::mpirun(ranks);
        run.arg(env!("CARGO_BIN_EXE_polycosm")).args(["doctor", "--reduce"]);
        let text = mpi::succeed(run);
        assert!(text.contains(&format!("sums over {ranks} rank(s) by MPI")), "{text}");
        for what in ["1024 x f32", "65536 x f32", "1048576 x f32", "1048576 x f64", "16777216 x f32"] {
            let line = text.lines().find(|line| line.trim_start().starts_with(what));
            let words: Vec<&str> = line.unwrap_or_else(|| panic!("no {what}:\n{text}")).split_whitespace().collect();
            let [fastest, slowest, rate] = [3, 4, 5].map(|i| words[i].parse::<f64>().unwrap());
            assert!(fastest >= 0.0 && fastest <= slowest && (ranks == 1 || rate > 0.0), "{text}");
        }
        let exact = text.lines().filter(|l| l.starts_with("rank ") && l.contains("exact, the root's bits")).count();
        assert_eq!(exact, ranks, "{text}");
    }
}
