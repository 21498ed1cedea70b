//! Whether chains have mixed: rank-normalised split R̂ and bulk effective sample size (Vehtari, Gelman, Simpson, Carpenter &
//! Bürkner 2021, arXiv:1903.08008, eqs. 1 to 14), of each parameter.

use statrs::distribution::{ContinuousCDF, Normal};

/// Largest R̂ and smallest effective sample size of chains that have mixed.
pub const WORST: f64 = 1.05;
pub const FEWEST: f64 = 100.0;

/// Of b parameters.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mixing {
    /// R̂, of the bulk or of the tails, whichever is worse; infinite where nothing moved.
    pub r_hat: Vec<f64>,
    /// Effective sample size of the bulk.
    pub ess: Vec<f64>,
}

impl Mixing {
    /// Of states (m, n, b) of m chains.
    pub fn of(states: &[f64], m: usize, b: usize) -> Mixing {
        let n = states.len() / (m * b);
        // Each chain is two, of the same length.
        let half = n / 2;
        let halves = |j: usize| -> Vec<f64> {
            let state = |chain: usize, step: usize| states[(chain * n + step) * b + j];
            (0..m).flat_map(|c| (0..half).chain(n - half..n).map(move |s| state(c, s))).collect()
        };
        let (mut r_hat, mut ess) = (vec![], vec![]);
        for j in 0..b {
            let x = halves(j);
            let mut sorted = x.clone();
            sorted.sort_by(f64::total_cmp);
            let middle = 0.5 * (sorted[(x.len() - 1) / 2] + sorted[x.len() / 2]);
            let bulk = Split::of(&normal_scores(&x), half);
            let tails = Split::of(&normal_scores(&x.iter().map(|x| (x - middle).abs()).collect::<Vec<_>>()), half);
            r_hat.push(bulk.r_hat().max(tails.r_hat()));
            ess.push(bulk.ess());
        }
        Mixing { r_hat, ess }
    }

    /// Whether all parameters have mixed.
    pub fn is_good(&self) -> bool {
        self.r_hat.iter().all(|&r| r <= WORST) && self.ess.iter().all(|&ess| ess >= FEWEST)
    }
}

/// Φ⁻¹((r − 3/8)/(S + 1/4)) of the ranks r of S numbers; numbers that are the same share their mean rank.
fn normal_scores(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let (normal, mut scores, mut at) = (Normal::standard(), vec![0.0; x.len()], 0);
    while at < order.len() {
        let same = order[at..].iter().take_while(|&&i| x[i] == x[order[at]]).count();
        let rank = at as f64 + 0.5 * (same as f64 + 1.0);
        let score = normal.inverse_cdf((rank - 0.375) / (x.len() as f64 + 0.25));
        order[at..at + same].iter().for_each(|&i| scores[i] = score);
        at += same;
    }
    scores
}

/// Chains of n numbers each, one after another, about their means.
struct Split {
    off: Vec<f64>,
    n: usize,
    /// W, and var⁺ = W (n − 1)/n + B/n.
    within: f64,
    all: f64,
}

impl Split {
    fn of(x: &[f64], n: usize) -> Split {
        let means: Vec<f64> = x.chunks(n).map(|chain| chain.iter().sum::<f64>() / n as f64).collect();
        let off: Vec<f64> =
            x.chunks(n).zip(&means).flat_map(|(chain, mean)| chain.iter().map(move |x| x - mean)).collect();
        let m = means.len() as f64;
        let within = off.iter().map(|x| x * x).sum::<f64>() / (m * (n as f64 - 1.0));
        let middle = means.iter().sum::<f64>() / m;
        let between = means.iter().map(|mean| (mean - middle).powi(2)).sum::<f64>() / (m - 1.0);
        Split { off, n, within, all: within * (n as f64 - 1.0) / n as f64 + between }
    }

    fn r_hat(&self) -> f64 {
        if self.within > 0.0 { (self.all / self.within).sqrt() } else { f64::INFINITY }
    }

    /// Autocorrelation at a lag, of all chains together.
    fn correlation(&self, lag: usize) -> f64 {
        let m = (self.off.len() / self.n) as f64;
        let one = |chain: &[f64]| chain.iter().zip(&chain[lag..]).map(|(a, b)| a * b).sum::<f64>() / self.n as f64;
        let mean = self.off.chunks(self.n).map(one).sum::<f64>() / m;
        1.0 - (self.within - mean) / self.all
    }

    /// mn over the autocorrelation time: sums of pairs while they are positive, none larger than the one before (Geyer 1992).
    fn ess(&self) -> f64 {
        let total = self.off.len() as f64;
        if self.within.is_nan() || self.within <= 0.0 {
            return 0.0;
        }
        let (mut time, mut before) = (-1.0, f64::INFINITY);
        for t in (0..self.n.saturating_sub(1)).step_by(2) {
            let pair = if t == 0 { 1.0 } else { self.correlation(t) } + self.correlation(t + 1);
            if pair <= 0.0 {
                break;
            }
            before = pair.min(before);
            time += 2.0 * before;
        }
        total / time.max(1.0 / total.log10())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four chains of an autoregression x' = 0.6 x + e, whose e come of a linear congruential generator; the last is moved.
    fn chains(moved: f64) -> Vec<f64> {
        let mut state = 12345u64;
        let mut uniform = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut all = vec![];
        for c in 0..4 {
            let mut x = 0.0;
            for _ in 0..250 {
                x = 0.6 * x + (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
                all.push(x + if c == 3 { moved } else { 0.0 });
            }
        }
        all
    }

    /// ArviZ 0.22's `rhat` (rank) and `ess` (bulk) of the same numbers.
    #[test]
    fn they_are_those_of_an_independent_code() {
        for (moved, r_hat, ess) in REFERENCE {
            let found = Mixing::of(&chains(moved), 4, 1);
            assert!((found.r_hat[0] - r_hat).abs() < 1e-6, "{found:?}");
            assert!((found.ess[0] / ess - 1.0).abs() < 0.02, "{found:?}, not {ess}");
            assert_eq!(found.is_good(), moved == 0.0);
        }
    }

    const REFERENCE: [(f64, f64, f64); 2] =
        [(0.0, 1.0060360515893, 285.8802229272561), (1.5, 1.1420213582825456, 21.43486515749052)];

    #[test]
    fn chains_that_do_not_move_have_not_mixed() {
        let found = Mixing::of(&[1.0; 40], 4, 1);
        assert!(found.r_hat[0] == f64::INFINITY && found.ess[0] == 0.0 && !found.is_good());
    }
}
