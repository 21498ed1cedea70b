//! Training on more samples than memory holds: a thread reads them while they are needed, and nothing else changes.
#![cfg(feature = "torch")]

mod mpi;

use polycosm::io::dataset::{DatasetConfig, Split};
use polycosm::models::{Device, Kind, ModelConfig, SampleId, Task, Tensor, VmimConfig, build};
use polycosm::nets::CnnConfig;
use polycosm::rng::stream;
use polycosm::train::{Columns, Memory, Source, StageConfig, Trainer};
use rand::Rng;
use rand::seq::SliceRandom;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);
const SIDE: usize = 128;

/// Maps of 65.536 kB: θ in (0, 1)², a scatter and a mean, of which the file never is in memory as a whole.
fn write(path: &Path, n: usize) {
    let mut rng = stream(1, 0, "maps", 0);
    let theta: Vec<f64> = (0..2 * n).map(|_| rng.random()).collect();
    let file = hdf5::File::create(path).unwrap();
    file.new_dataset::<f64>().shape([n, 2]).create("theta").unwrap().write_raw(&theta).unwrap();
    let maps = file.new_dataset::<f32>().shape([n, 1, SIDE, SIDE]).create("x").unwrap();
    for (row, t) in theta.chunks(2).enumerate() {
        let map: Vec<f32> = (0..SIDE * SIDE).map(|_| (t[0] * (rng.random::<f64>() - 0.5) + t[1]) as f32).collect();
        let map = ndarray::Array3::from_shape_vec((1, SIDE, SIDE), map).unwrap();
        maps.write_slice(&map, (row, .., .., ..)).unwrap();
    }
}

/// `polycosm train` on that file.
fn train(ranks: usize, folder: &Path, name: &str, more: &[&str]) -> (Command, PathBuf) {
    let (campaign, output) = (folder.join("run.toml"), folder.join(name));
    std::fs::write(
        &campaign,
        format!(
            r#"
            seed = 3
            [dataset]
            file = "{}"
            axes = {{ x = ["channel", "flat", "flat"] }}
            [dataset.parameters]
            a = {{ min = 0.0, max = 1.0 }}
            b = {{ min = 0.0, max = 1.0 }}
            [[train]]
            name = "compressor"
            input = "x"
            epochs = 3
            data = {{ symmetries = ["turn"], noise = [{{ sigma = 0.1 }}] }}
            [train.network]
            kind = "vmim"
            cnn = {{ width = 2, blocks = [1] }}
            "#,
            folder.join("maps.h5").display()
        ),
    )
    .unwrap();
    let mut run = mpi::mpirun(ranks);
    run.arg(env!("CARGO_BIN_EXE_polycosm")).arg("train").arg(&campaign);
    run.arg("--set").arg(format!("output={}", output.display()));
    run.args(more.iter().flat_map(|set| ["--set", set]));
    (run, output.join("train/compressor"))
}

const SMALL: &str = "train.compressor.data.memory=\"10 MB\"";

#[test]
fn what_is_learned_is_the_same_bits_on_disk_and_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(&folder.join("maps.h5"), 500);
    let weights = |folder: &Path| std::fs::read(folder.join("weights.safetensors")).unwrap();
    for (ranks, run) in [(1, 1), (2, 1), (3, 8)] {
        let run = &format!("train.compressor.data.run={run}");
        let (command, inside) = train(ranks, folder, &format!("inside-{ranks}"), &[run]);
        assert!(!mpi::succeed(command).contains("are read while they are needed"));
        let (command, outside) = train(ranks, folder, &format!("outside-{ranks}"), &[run, SMALL]);
        assert!(mpi::succeed(command).contains("of samples are read while they are needed, 10.000 MB at a time"));
        assert!(weights(&inside) == weights(&outside), "{ranks} ranks learned otherwise from disk");
        if ranks == 2 {
            let (command, killed) = train(ranks, folder, "killed", &[run, SMALL]);
            mpi::kill_when(command, || killed.join("history.jsonl").exists());
            assert!(!killed.join("weights.safetensors").exists());
            let (command, _) = train(ranks, folder, "killed", &[run, SMALL]);
            assert!(mpi::succeed(command).contains("going on from"));
            assert!(weights(&killed) == weights(&outside), "the killed training ended otherwise");
        }
    }
    for (set, parts) in [
        (
            "train.compressor.data.memory=\"1 MB\"",
            &["compressor.data.memory", "twice 64 samples, take 4.195 MB on each rank", "1.000 MB are allowed"][..],
        ),
        ("train.compressor.data.memory=\"1 mb\"", &["is no number of bytes", "256 MB"]),
        ("train.compressor.data.run=0", &["compressor.data.run = 0", "at least 1"]),
    ] {
        let ended = mpi::finish(train(2, folder, "refused", &[set]).0, LIMIT);
        assert!(ended.code == Some(2) && parts.iter().all(|part| ended.text.contains(part)), "{}", ended.text);
    }
}

/// Peak or present resident memory of this process in bytes.
fn resident(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_start_matches(':').split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn memory_is_bounded() {
    mpi::on_ranks("memory_is_bounded", &[2], |comm| {
        polycosm::nets::set_threads(1);
        let path = mpi::shared_dir().join("maps.h5");
        let n = 3000;
        comm.on_root(|| {
            write(&path, n);
            Ok(())
        })
        .unwrap();
        let all = (n * SIDE * SIDE * 4) as u64;
        let section = serde_json::json!({ "file": path, "axes": { "x": ["channel", "flat", "flat"] } });
        let dataset = serde_json::from_value::<DatasetConfig>(section).unwrap().open().unwrap();
        let columns = Columns::of_dataset(&dataset, &[("x", "x")], Device::Cpu).unwrap();
        let network = VmimConfig {
            cnn: CnnConfig { width: 2, blocks: vec![1], ..CnnConfig::default() },
            ..VmimConfig::default()
        };
        let network = ModelConfig::new("vmim", Box::new(network));
        let text = serde_json::json!({"name": "t", "input": "x", "epochs": 1, "network": serde_json::to_value(&network).unwrap()});
        let config: StageConfig = serde_json::from_value(text).unwrap();
        let grown = |source: &mut dyn Source, name: &str| {
            let task = Task {
                inputs: &columns.inputs,
                targets: &[],
                prior: &dataset.prior,
                device: Device::Cpu,
                kind: Kind::Float,
            };
            let model = build(&*config.network, &task).unwrap();
            let before = resident("VmRSS");
            Trainer::new(comm, &config, model.as_ref()).run(source, &mpi::shared_dir().join(name)).unwrap();
            resident("VmHWM").saturating_sub(before)
        };
        let disk = grown(&mut columns.disk(1, 10_000_000).unwrap(), "disk");
        assert!(disk < all, "{disk} bytes for {all} of samples, of which 10 MB were allowed");
        let before = resident("VmRSS");
        let mut memory = columns.memory(1).unwrap();
        grown(&mut memory, "memory");
        assert!(resident("VmHWM") - before > all / 2, "the samples in memory are not seen in the peak");
    });
}

#[test]
fn runs_are_shuffled_within_and_among_each_other() {
    let source = Memory::of([("x", Tensor::zeros([1000], (Kind::Float, Device::Cpu)))], 900);
    let train = source.ids(Split::Train);
    let mut plain = train.to_vec();
    plain.shuffle(&mut stream(7, 2, "shuffle", 1));
    assert_eq!(source.order(1, 7, 1, 2), plain);

    let order = source.order(10, 7, 1, 2);
    assert_eq!(order, source.order(10, 7, 1, 2));
    assert_ne!(order, source.order(10, 7, 1, 3));
    let mut sorted = order.clone();
    sorted.sort();
    assert_eq!(sorted, train);
    for mixed in order.chunks(160) {
        // Sixteen whole runs, which are not in the order of the file.
        let mut runs: Vec<u64> = mixed.iter().map(|id: &SampleId| id.universe / 10).collect();
        assert!(!runs.is_sorted());
        runs.sort();
        runs.dedup();
        assert_eq!(runs.len(), mixed.len() / 10);
        assert!(mixed.chunks(10).any(|some| some.windows(2).any(|pair| pair[1].universe != pair[0].universe + 1)));
    }
}
