//! The evolve loop: executes a [`StepTable`](super::StepTable), row by row.

use super::force::Force;
use super::table::{Row, StepTable};
use crate::comm::Comm;
use crate::comm::timers::Timers;
use crate::error::{Error, Result};
use crate::mesh::Real;
use crate::particles::{Particles, wrap};

/// Looks at the particles after each row: checkpoints, light cones and in-line spectra are observers.
pub trait Observer<T> {
    /// Called after `row`, the `index`-th, was executed. Collective.
    fn after(&mut self, index: usize, row: &Row, particles: &Particles<T>) -> Result<()>;
}

/// No observer.
impl<T> Observer<T> for () {
    fn after(&mut self, _: usize, _: &Row, _: &Particles<T>) -> Result<()> {
        Ok(())
    }
}

/// Executes the table's rows on particles in a cube of `box_size` Mpc/h. Collective; a force that is not finite
/// anywhere ends it on all ranks with the step and the rank.
pub fn evolve<T: Real>(
    comm: &Comm,
    table: &StepTable,
    particles: &mut Particles<T>,
    force: &mut Force<T>,
    box_size: f64,
    timers: &mut Timers,
    observer: &mut impl Observer<T>,
) -> Result<()> {
    let l = T::of(box_size);
    timers.time("exchange", || force.exchange(particles));
    for (index, row) in table.rows.iter().enumerate() {
        match *row {
            Row::Force { a } => {
                force.accelerations(particles, timers);
                let sum: f64 = particles.acceleration.iter().map(|g| (g[0] + g[1] + g[2]).f64()).sum();
                comm.agree(if sum.is_finite() {
                    Ok(())
                } else {
                    Err(Error::failed(format!(
                        "the acceleration is not finite at row {index} of the step table, a = {a}"
                    ))
                    .remedy("look at the initial noise and the linear spectrum; polycosm plan prints the table"))
                })?;
            }
            Row::Kick { factor, .. } => timers.time("kick", || {
                let f = T::of(factor);
                for (p, g) in particles.momentum.iter_mut().zip(&particles.acceleration) {
                    for d in 0..3 {
                        p[d] += f * g[d];
                    }
                }
            }),
            Row::Drift { factor, .. } => {
                timers.time("drift", || {
                    let f = T::of(factor);
                    for (x, p) in particles.position.iter_mut().zip(&particles.momentum) {
                        for d in 0..3 {
                            x[d] = wrap(x[d] + f * p[d], l);
                        }
                    }
                });
                timers.time("exchange", || force.exchange(particles));
            }
        }
        observer.after(index, row, particles)?;
    }
    Ok(())
}
