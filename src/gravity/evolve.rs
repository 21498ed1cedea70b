//! The evolve loop: executes a [`StepTable`](super::StepTable), row by row.

use super::factors::Factor;
use super::force::Force;
use super::table::{Row, StepTable};
use crate::comm::Comm;
use crate::comm::timers::Timers;
use crate::error::{Error, Result};
use crate::mesh::Real;
use crate::particles::{Particles, wrap};

/// Looks at the particles after each row: checkpoints, light cones and in-line spectra are observers.
pub trait Observer<T> {
    /// Called after `row`, the `index`-th, was executed. Collective; the particles are on their ranks.
    fn after(&mut self, index: usize, row: &Row, particles: &Particles<T>, timers: &mut Timers) -> Result<()>;
}

/// No observer.
impl<T> Observer<T> for () {
    fn after(&mut self, _: usize, _: &Row, _: &Particles<T>, _: &mut Timers) -> Result<()> {
        Ok(())
    }
}

/// Executes the table's rows from number `first` on, on particles in a cube of side `force.workspace.box_size` that are
/// on their ranks. Collective; a force that is not finite anywhere ends it on all ranks with the step, the field and
/// the rank.
pub fn evolve<T: Real>(
    comm: &Comm,
    table: &StepTable,
    first: usize,
    particles: &mut Particles<T>,
    force: &mut Force<T>,
    timers: &mut Timers,
    observer: &mut impl Observer<T>,
) -> Result<()> {
    let l = T::of(force.workspace.box_size);
    for (index, row) in table.rows.iter().enumerate().skip(first) {
        match *row {
            Row::Force { a } => {
                force.accelerations(particles, a, timers)?;
                comm.agree(finite(particles, index, a))?;
            }
            Row::Kick { factor, .. } => timers.time("kick", || {
                let Particles { momentum, acceleration, psi, .. } = particles;
                advance(momentum, acceleration, psi, factor, |p| p);
            }),
            Row::Drift { factor, .. } => {
                timers.time("drift", || {
                    let Particles { position, momentum, psi, .. } = particles;
                    advance(position, momentum, psi, factor, |x| wrap(x, l));
                });
                timers.time("exchange", || force.exchange(particles));
            }
            Row::Output { .. } => force.release(),
        }
        observer.after(index, row, particles, timers)?;
    }
    Ok(())
}

/// y += factor · rate, and COLA's terms.
fn advance<T: Real>(
    y: &mut [[T; 3]],
    rate: &[[T; 3]],
    psi: &Option<[Vec<[T; 3]>; 2]>,
    factor: Factor,
    place: impl Fn(T) -> T,
) {
    let f = T::of(factor.force);
    match psi {
        Some([psi1, psi2]) if factor.lpt != [0.0; 2] => {
            let [c1, c2] = factor.lpt.map(T::of);
            for (((y, r), s1), s2) in y.iter_mut().zip(rate).zip(psi1).zip(psi2) {
                for d in 0..3 {
                    y[d] = place(y[d] + f * r[d] + c1 * s1[d] + c2 * s2[d]);
                }
            }
        }
        _ => {
            for (y, r) in y.iter_mut().zip(rate) {
                for d in 0..3 {
                    y[d] = place(y[d] + f * r[d]);
                }
            }
        }
    }
}

fn finite<T: Real>(particles: &Particles<T>, row: usize, a: f64) -> Result<()> {
    let sum = |column: &[[T; 3]]| column.iter().map(|v| (v[0] + v[1] + v[2]).f64()).sum::<f64>();
    if sum(&particles.acceleration).is_finite() {
        return Ok(());
    }
    // Bad positions make bad forces: name the field that is to blame.
    let columns = [("position", &particles.position), ("momentum", &particles.momentum)];
    let field = columns.iter().find(|(_, c)| !sum(c).is_finite()).map_or("acceleration", |(name, _)| name);
    Err(Error::failed(format!("the {field} is not finite at row {row} of the step table, a = {a:.6}"))
        .remedy("look at the initial noise and the linear spectrum; polycosm plan prints the table"))
}
