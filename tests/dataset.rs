//! Datasets from end to end with a small fake simulator.

mod mpi;

#[test]
fn ranks_add_up() {
    mpi::on_ranks("ranks_add_up", &[1, 2, 4], |world| {
        assert_eq!(world.sum_of(1u64), world.size() as u64);
        std::fs::write(mpi::shared_dir().join(world.rank().to_string()), "here").unwrap();
    });
}
