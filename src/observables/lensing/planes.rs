//! The lens planes: maps of projected overdensity, dealt out over the ranks.

use super::{Cone, LensPlane};
use crate::comm::Comm;
use crate::error::{Error, Result};

/// Maps of Σ_δ(θ) = ∫ δ dχ over each slice of a cone, in Mpc/h, δ being that of all matter. Plane k is held whole by
/// rank k modulo their number.
pub struct Planes {
    pub(super) comm: Comm,
    cone: Cone,
    /// This rank's maps.
    held: Vec<Option<Vec<f64>>>,
    /// Which planes anyone holds.
    done: Vec<bool>,
}

impl Planes {
    /// No maps yet.
    pub fn new(comm: &Comm, cone: Cone) -> Self {
        let count = cone.slices.len();
        Planes { comm: comm.clone(), cone, held: vec![None; count], done: vec![false; count] }
    }

    /// The geometry.
    pub fn cone(&self) -> &Cone {
        &self.cone
    }

    /// Number of planes.
    pub fn len(&self) -> usize {
        self.done.len()
    }

    /// Never true: a cone has at least one slice.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Whether plane `k` has its map.
    pub fn has(&self, k: usize) -> bool {
        self.done[k]
    }

    pub(super) fn owner(&self, k: usize) -> usize {
        k % self.comm.size()
    }

    /// This rank's plane among as many as there are ranks, beginning with plane `first`: its number and map.
    pub(super) fn held_in(&self, first: usize) -> Option<(usize, &[f64])> {
        let round = first..(first + self.comm.size()).min(self.len());
        round.into_iter().find_map(|k| self.held[k].as_deref().map(|map| (k, map)))
    }

    /// Plane `k`'s deflection on every rank, from that of the rank that holds the plane. Collective.
    pub(super) fn share(&self, k: usize, mine: &LensPlane) -> LensPlane {
        let mut lens = mine.clone();
        self.comm.broadcast(self.owner(k), lens.flat_mut());
        lens
    }

    /// Sets the map of plane `k`, in Mpc/h, which all ranks know.
    pub fn put(&mut self, k: usize, map: Vec<f64>) {
        assert_eq!(map.len(), self.cone.pixels.pow(2), "a plane's map has pixels x pixels elements");
        self.done[k] = true;
        self.held[k] = (self.owner(k) == self.comm.rank()).then_some(map);
    }

    /// The map of plane `k` on every rank; zeros before it was set. Collective.
    pub fn get(&self, k: usize) -> Vec<f64> {
        let mut map = self.held[k].clone().unwrap_or_else(|| vec![0.0; self.cone.pixels.pow(2)]);
        self.comm.broadcast(self.owner(k), &mut map);
        map
    }

    /// Appends all maps, shape (planes, pixels, pixels), to the root's list. Collective.
    pub fn append_on_root(&self, all: &mut Vec<f64>) {
        for k in 0..self.len() {
            let map = self.get(k);
            if self.comm.is_root() {
                all.extend(map);
            }
        }
    }

    /// Itself, once every plane has its map.
    pub fn complete(self) -> Result<Self> {
        match self.done.iter().position(|done| !done) {
            None => Ok(self),
            Some(k) => Err(Error::failed(format!(
                "the simulation never passed a = {:.4}, when light left plane {k} of the light cone",
                self.cone.slices[k].a
            ))
            .remedy("let simulator.time cover every plane: start earlier, or end at a = 1")),
        }
    }
}
