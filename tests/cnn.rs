//! Networks of maps and cubes: the published ones have the weights that their papers and codes count, all learn, on any number of
//! ranks alike, and pictures that are too small for them are refused.
#![cfg(feature = "torch")]

mod mpi;

use polycosm::comm::Comm;
use polycosm::error::{Error, Result};
use polycosm::io::dataset::Split;
use polycosm::io::field::{AxisKind, FieldSpec};
use polycosm::models::{Batch, Column, Device, Kind, Model, ModelConfig, Pass, RegressionConfig, SampleId, Tensor};
use polycosm::nets::{Cnn, CnnConfig, CnnKind, host};
use polycosm::prior::{Parameter, Prior};
use polycosm::train::{Memory, Source, StageConfig, Trainer};
use tch::nn;

fn cnn(text: &str) -> CnnConfig {
    toml::from_str(text).unwrap()
}

/// Trainable numbers of a network from so many channels of such pictures.
fn weights(config: &CnnConfig, channels: i64, sides: &[i64], outputs: i64) -> usize {
    let vs = nn::VarStore::new(Device::Cpu);
    let _ = Cnn::new(&vs.root(), channels, sides, outputs, config, false);
    vs.trainable_variables().iter().map(Tensor::numel).sum()
}

#[test]
fn published_networks_have_as_many_weights_as_published() {
    // torchvision has 11,689,512 and 21,797,672 for 3 channels and 1000 classes. Each of the 4,800 and 8,512 channels of its
    // convolutions has a scale and a shift of batch normalisation, here a bias, and each of 8 and 16 blocks a number that scales it.
    assert_eq!(weights(&cnn("kind = 'resnet18'"), 3, &[64, 64], 1000), 11_689_512 - 4_800 + 8);
    assert_eq!(weights(&cnn("kind = 'resnet34'"), 3, &[64, 64], 1000), 21_797_672 - 8_512 + 16);
    // CMU DeepLens with batch normalisation has 3,508,545 for one band; without, with a bias for each convolution and 15 scales of
    // branches, it is this. A band more costs 7 × 7 × 32.
    assert_eq!(weights(&cnn("kind = 'deeplens'"), 1, &[45, 45], 1), 3_500_624);
    assert_eq!(weights(&cnn("kind = 'deeplens'"), 4, &[45, 45], 1), 3_500_624 + 3 * 49 * 32);
    // Layer by layer: 3,488 + 55,360 + 221,312 + 884,992 + 3,539,456, then 32,768 × 128 + 128, 128 × 64 + 64, 64 × 4 + 4.
    assert_eq!(weights(&cnn("kind = 'cosmoflow'"), 4, &[128; 3], 4), 8_907_556);
}

#[test]
fn old_records_are_those_of_the_small_network() {
    let old = serde_json::json!({"width": 24, "blocks": [1, 1, 1], "periodic": true});
    assert_eq!(serde_json::to_value(CnnConfig::default()).unwrap(), old);
    assert_eq!(serde_json::from_value::<CnnConfig>(old).unwrap(), CnnConfig::default());
    for text in
        ["kind = 'resnet34'\nwidth = 8", "kind = 'cosmoflow'\ndropout = 0.0", "kind = 'deeplens'\nblocks = [1, 2]"]
    {
        let config = cnn(text);
        assert_ne!(config, CnnConfig { kind: CnnKind::Small, ..config.clone() });
        assert_eq!(serde_json::from_value::<CnnConfig>(serde_json::to_value(&config).unwrap()).unwrap(), config);
    }
    assert_eq!(cnn("kind = 'resnet34'\nwidth = 8").blocks, [3, 4, 6, 3]);
    assert!(toml::from_str::<CnnConfig>("kind = 'small'\nwidht = 3").is_err());
}

/// Cubes or maps in space.
fn spec(shape: &[usize], space: usize, kind: AxisKind) -> FieldSpec {
    let mut kinds = vec![AxisKind::Channel; shape.len() - space];
    kinds.extend(vec![kind; space]);
    FieldSpec::of("x", shape, &kinds)
}

fn network(cnn: &str) -> ModelConfig {
    let text = format!("loss = 'mse'\ncnn = {{ {cnn} }}");
    ModelConfig::new("regression", Box::new(toml::from_str::<RegressionConfig>(&text).unwrap()))
}

fn built(cnn: &str, input: &FieldSpec, kind: Kind) -> Result<Box<dyn Model>> {
    polycosm::nets::seed(3);
    let prior = Prior::new(vec![Parameter::uniform("a", "a", 0.0, 1.0)]).unwrap();
    network(cnn).build(input, &prior, Device::Cpu, kind)
}

#[test]
fn pictures_that_are_too_small_or_none_are_refused() {
    use AxisKind::{Flat, Periodic};
    let refused = |cnn: &str, input: FieldSpec, words: &[&str]| {
        let e: Error = built(cnn, &input, Kind::Float).map(drop).expect_err(cnn);
        assert!(e.exit_code() == 2 && e.remedy.is_some(), "{e}");
        words.iter().for_each(|word| assert!(e.to_string().contains(word), "{word}: {e}"));
    };
    refused("kind = 'resnet18'", spec(&[4, 31, 64], 2, Flat), &["network.cnn.kind = \"resnet18\"", "too deep", "32"]);
    refused("kind = 'deeplens'", spec(&[15, 15], 2, Periodic), &["too deep", "16"]);
    refused("kind = 'cosmoflow'", spec(&[4, 16, 16, 16], 3, Periodic), &["too deep", "32"]);
    refused("kind = 'cosmoflow'", spec(&[4, 64, 64], 2, Periodic), &["looks at cubes", "maps [4, 64, 64]"]);
    refused("dropout = 1.0", spec(&[4, 64, 64], 2, Periodic), &["network.cnn.dropout = 1"]);
    for (cnn, input) in [
        ("kind = 'resnet18'", spec(&[4, 32, 32], 2, Flat)),
        // A cube is its slices.
        ("kind = 'deeplens'", spec(&[16, 16, 16], 3, Periodic)),
        ("kind = 'cosmoflow', width = 1", spec(&[32, 32, 32], 3, Periodic)),
        ("kind = 'cosmoflow', width = 1, blocks = [1, 2]", spec(&[2, 8, 9, 10], 3, Flat)),
    ] {
        built(cnn, &input, Kind::Float).unwrap_or_else(|e| panic!("{cnn}: {e}"));
    }
}

/// Of maps that are shifted by whole steps of a network: how much what it makes of them moves.
fn moved(config: &CnnConfig, periodic: bool) -> f64 {
    let vs = nn::VarStore::new(Device::Cpu);
    polycosm::nets::seed(7);
    let net = Cnn::new(&vs.root(), 2, &[64, 64], 3, config, periodic);
    // Residual branches begin at zero.
    vs.trainable_variables().iter().filter(|v| v.numel() == 1).for_each(|v| drop(v.detach().fill_(0.5)));
    let x = Tensor::randn([3, 2, 64, 64], (Kind::Float, Device::Cpu));
    let made = |x: &Tensor| tch::no_grad(|| net.forward(x, None));
    let (is, was) = (made(&x.roll([32i64, 32], [-2i64, -1])), made(&x));
    host(&((is - &was).abs().max() / was.abs().max()))[0]
}

#[test]
fn periodic_maps_have_no_edges() {
    for kind in ["small", "resnet18", "resnet34", "deeplens"] {
        let config = cnn(&format!("kind = '{kind}'\nwidth = 4"));
        let (periodic, flat) = (moved(&config, true), moved(&config, false));
        assert!(periodic < 1e-4 && flat > 1e-3, "{kind}: {periodic} where maps are periodic, {flat} where they end");
    }
}

/// Networks small enough for a test, and what they see.
const CASES: [(&str, &[usize], usize); 5] = [
    ("width = 4, dropout = 0.25", &[2, 16, 16], 2),
    ("kind = 'resnet18', width = 2", &[3, 32, 32], 2),
    ("kind = 'resnet34', width = 2", &[1, 32, 32], 2),
    ("kind = 'deeplens', width = 4", &[2, 16, 16], 2),
    ("kind = 'cosmoflow', width = 4, blocks = [1, 1]", &[2, 8, 8, 8], 3),
];
const UNIVERSES: i64 = 24;

/// Maps whose mean tells the parameter, beneath noise.
fn samples(shape: &[usize]) -> Memory {
    polycosm::nets::seed(11);
    let of = (Kind::Double, Device::Cpu);
    let theta = Tensor::rand([UNIVERSES, 1], of);
    let size: Vec<i64> = [UNIVERSES].into_iter().chain(shape.iter().map(|&n| n as i64)).collect();
    let flat: Vec<i64> = [UNIVERSES].into_iter().chain(shape.iter().map(|_| 1)).collect();
    let x = theta.view(flat.as_slice()) * 2.0 + Tensor::randn(size.as_slice(), of) * 0.5;
    let ids = (0..UNIVERSES as u64).map(SampleId::of).collect();
    Memory::new(vec![("x".into(), Column::Array(x)), ("theta".into(), Column::Array(theta))], ids, UNIVERSES as usize)
}

/// Mean loss before and after so many epochs of two steps, and the weights.
fn trained(comm: &Comm, cnn: &str, shape: &[usize], space: usize, epochs: u64) -> ([f64; 2], Vec<f64>) {
    let text = "name = 's'\ninput = 'x'\nbatch_size = 12\nweight_decay = 0.0\nnetwork = { kind = 'regression' }";
    let config = StageConfig { network: network(cnn), ..toml::from_str(text).unwrap() };
    let model = built(cnn, &spec(shape, space, AxisKind::Periodic), Kind::Double).unwrap();
    let mut source = samples(shape);
    let mut trainer = Trainer::new(comm, &config, model.as_ref());
    trainer.prepare(&mut source).unwrap();
    let ids = source.ids(Split::Train).to_vec();
    let mut whole = samples(shape);
    let mut loss = || {
        let batch = Batch::new(whole.read(&ids).unwrap(), ids.clone(), Pass::Held, 0, Kind::Double);
        let score = tch::no_grad(|| model.score(0, &batch)).unwrap().remove(0);
        host(&score.value.mean(Kind::Double))[0]
    };
    let before = loss();
    for epoch in 0..epochs {
        trainer.state.epoch = epoch;
        for ids in ids.chunks(12) {
            trainer.step(&mut source, ids, 3e-3).unwrap();
        }
    }
    ([before, loss()], host(&trainer.flats[0].parameters))
}

#[test]
fn all_learn_on_any_ranks_alike() {
    mpi::on_ranks("all_learn_on_any_ranks_alike", &[1, 2, 3, 4], |comm| {
        polycosm::nets::set_threads(1);
        for (cnn, shape, space) in CASES {
            let (_, weights) = trained(comm, cnn, shape, space, 2);
            let (_, alone) = trained(&comm.alone(), cnn, shape, space, 2);
            let apart = weights.iter().zip(&alone).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(weights.len() == alone.len() && apart < 1e-7, "{cnn}: weights differ by {apart}");
            if comm.size() == 1 {
                let ([before, after], _) = trained(comm, cnn, shape, space, 20);
                assert!(after < 0.6 * before, "{cnn}: the loss goes from {before} to {after}");
            }
        }
    });
}
