//! Points of the unit cube.

use super::Scramble;
use crate::error::{Error, Result};
use crate::rng;
use rand::{Rng, RngCore, seq::SliceRandom};

/// Row i of p independent uniform numbers, and what is drawn in its place, again and again.
pub fn drawn(seed: u64, i: u64, p: usize) -> impl Iterator<Item = Vec<f64>> {
    let mut rng = rng::stream(seed, 0, "design", i);
    std::iter::repeat_with(move || (0..p).map(|_| rng.random()).collect())
}

/// The points of the sequence, made random bit by bit; they lie half a spacing off the dyadic numbers, so that none falls
/// on a bound. Either way every point is uniform over the cube, and the sequence's nets stay what they are.
pub fn sobol_points(p: usize, seed: u64, scramble: Scramble) -> impl Iterator<Item = Vec<f64>> {
    let purpose = match scramble {
        Scramble::Shift => "sobol shift",
        Scramble::Owen => "owen scramble",
    };
    let keys: Vec<u64> = (0..p).map(|j| rng::stream(seed, 0, purpose, j as u64).next_u64()).collect();
    let sequence = sobol::Sobol::<u64>::new(p, &sobol::params::JoeKuoD6::standard());
    let unit = |bits: u64| ((bits >> (64 - BITS)) as f64 + 0.5) / 2f64.powi(BITS as i32);
    let scrambled = move |(x, &key): (u64, &u64)| match scramble {
        Scramble::Shift => unit(x ^ key),
        Scramble::Owen => unit(owen(x, key)),
    };
    sequence.map(move |point| point.into_iter().zip(&keys).map(scrambled).collect())
}

/// Bits of a coordinate.
const BITS: u32 = 52;

/// Each bit is flipped or not by chance that depends on all bits before it (Owen 1995): a random permutation of the
/// halves of every interval.
fn owen(x: u64, key: u64) -> u64 {
    // The nodes of the binary tree have numbers of their own; SplitMix64 makes a coin of each (Steele et al. 2014).
    let coin = |node: u64| {
        let z = key.wrapping_add(node.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) >> 63
    };
    let before = |b: u32| if b == 0 { 0 } else { x >> (64 - b) };
    (0..BITS).fold(x, |y, b| y ^ coin(1 << b | before(b)) << (63 - b))
}

/// One point in each of n slices of every parameter.
pub fn latin_hypercube(n: usize, p: usize, seed: u64) -> Vec<f64> {
    let mut unit = vec![0.0; n * p];
    for j in 0..p {
        let mut rng = rng::stream(seed, 0, "latin hypercube", j as u64);
        let mut slices: Vec<usize> = (0..n).collect();
        slices.shuffle(&mut rng);
        for (i, slice) in slices.into_iter().enumerate() {
            unit[i * p + j] = (slice as f64 + rng.random::<f64>()) / n as f64;
        }
    }
    unit
}

/// Cells of a grid along each of p parameters, kᵖ = n.
pub fn cells(n: usize, p: usize) -> Result<usize> {
    let k = (n as f64).powf(1.0 / p as f64).round() as usize;
    if k.checked_pow(p as u32) != Some(n) {
        let near = [k.max(2) - 1, k, k + 1].map(|k| k.saturating_pow(p as u32).to_string()).join(", ");
        let error =
            Error::input(format!("a grid of {p} parameters has k^{p} universes")).key("design.simulations").value(n);
        return Err(error.remedy(format!("choose one of {near}")));
    }
    Ok(k)
}

/// The centres of n equal cells.
pub fn grid(n: usize, p: usize) -> Result<Vec<f64>> {
    let k = cells(n, p)?;
    let digit = |i: usize, j: usize| i / k.pow((p - 1 - j) as u32) % k;
    Ok((0..n * p).map(|at| (digit(at / p, at % p) as f64 + 0.5) / k as f64).collect())
}
