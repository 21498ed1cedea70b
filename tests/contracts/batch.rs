//! What a batch promises: draws and partners that belong to samples, and errors in words.

use polycosm::error::Error;
use polycosm::models::{Batch, Column, Kind, Pass, SampleId, Tensor};
use polycosm::nets::host;

fn batch(universes: &[u64], pass: Pass) -> Batch {
    let x: Vec<f64> = universes.iter().map(|&u| u as f64).collect();
    let x = Tensor::from_slice(&x).view([-1, 1]);
    let label = x.squeeze_dim(1) * 0.5;
    let list = Column::List { values: x.shallow_clone(), offsets: Tensor::from_slice(&[0i64, 1]) };
    let columns = [("x", Column::Array(x)), ("label", Column::Array(label)), ("halos", list)];
    let columns = columns.into_iter().map(|(name, column)| (name.to_string(), column)).collect();
    Batch::new(columns, universes.iter().map(|&u| SampleId::of(u)).collect(), pass, 7, Kind::Double)
}

#[test]
fn noise_belongs_to_the_sample() {
    let first = Pass::Train { phase: 0, epoch: 3 };
    let all = host(&batch(&[2, 4, 6], first).normal("z", &[2, 5]));
    assert_eq!(all[10..20], host(&batch(&[4], first).normal("z", &[2, 5])), "noise depends on the batch");
    let others = [(first, "y"), (Pass::Train { phase: 0, epoch: 4 }, "z"), (Pass::Train { phase: 1, epoch: 3 }, "z")];
    for (pass, purpose) in others.into_iter().chain([(Pass::Held, "z"), (Pass::Observation, "z")]) {
        assert_ne!(all, host(&batch(&[2, 4, 6], pass).normal(purpose, &[2, 5])), "{purpose} in {pass:?}");
    }
    let mut piece = batch(&[4], first);
    piece.ids[0].item = 1;
    assert_ne!(all[10..20], host(&piece.normal("z", &[2, 5])));
    assert!(host(&piece.uniform("u", &[100])).iter().all(|u| (0.0..1.0).contains(u)));
}

#[test]
fn partners_are_others() {
    let universes: Vec<u64> = (0..9).map(|i| 2 * i).collect();
    let batch = batch(&universes, Pass::Held);
    let partners = host(&batch.others("x", 8).unwrap());
    for (u, partners) in universes.iter().zip(partners.chunks(8)) {
        let mut seen: Vec<u64> = partners.iter().map(|&p| p as u64).chain([*u]).collect();
        seen.sort_unstable();
        assert_eq!(seen, universes, "the others of {u} are {partners:?}");
    }
    let labels = host(&batch.others("label", 8).unwrap());
    assert!(labels.iter().zip(&partners).all(|(l, x)| 2.0 * l == *x), "each column has other partners");
    assert_eq!(batch.others("x", 9).unwrap_err().exit_code(), 2);
}

#[test]
fn what_is_not_there_is_told() {
    let batch = batch(&[0, 2, 6], Pass::Held);
    assert_eq!(host(&batch.labels("label", 4).unwrap()), [0.0, 1.0, 3.0]);
    let told = |e: Error, words: &[&str]| {
        assert!(e.exit_code() == 2 && words.iter().all(|w| e.to_string().contains(w)), "{e}");
    };
    told(batch.labels("label", 3).unwrap_err(), &["row 6", "label = 3", "0 to 2"]);
    told(batch.array("lable").unwrap_err(), &["lable", "did you mean `label`"]);
    told(batch.array("halos").unwrap_err(), &["halos", "a list", "fixed shape"]);
    told(batch.list("x").unwrap_err(), &["x", "an array"]);
}
