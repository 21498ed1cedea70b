//! The light cone of a simulation and the weak lensing of its matter.
//!
//! The sky is flat: an observer at one point of the periodic box looks along a line of sight, and angles θ = x_⊥/f_K(χ)
//! fill a square [field of view](Cone); f_K is the
//! [transverse distance](crate::cosmology::Cosmology::transverse_distance), which is χ in a flat universe. Distances up
//! to the farthest [source](Sources) are cut into slices; while the simulation runs, the [`LightCone`] projects the
//! particles of each slice, at the moment light left it, onto a map of the sky. These [`Planes`] give convergence by
//! the [Born approximation](born) or by [ray tracing](raytrace).
//!
//! On the [sphere](SkyCone) the same observer looks in all directions, and slices are projected onto shells of HEALPix
//! pixels.
//!
//! Flat maps have shape (pixels, pixels), C order; pixel (i, j) is centred at θ = ((i, j) + ½ − pixels/2) · field/pixels.

mod born;
mod cone;
mod config;
mod deflection;
mod limber;
mod observer;
mod planes;
mod rays;
mod replicas;
mod slices;
mod sources;
mod sphere;
mod survey;

pub use born::born;
pub use cone::Cone;
pub use config::{LightConeConfig, Method, Region, ShapeNoise};
pub use deflection::LensPlane;
pub use limber::limber_cl;
pub use observer::LightCone;
pub use planes::Planes;
pub use rays::raytrace;
pub use replicas::{Replica, Replicas};
pub use slices::Slice;
pub use sources::Sources;
pub use sphere::{SkyCone, SkyLayout, SkyLightCone, SkyPlanes, add_sky_noise};
pub use survey::{add_shape_noise, apply_mask};

use crate::comm::{Comm, share};

/// Lensing maps of every source bin, each of shape (bins, pixels, pixels): whole on the root, empty elsewhere. The
/// Jacobian of the lens mapping is ∂β/∂θ = (1 − κ − γ1, −γ2 − ω; −γ2 + ω, 1 − κ + γ1).
#[derive(Debug, Clone, PartialEq)]
pub struct LensingMaps {
    /// Convergence κ.
    pub kappa: Vec<f64>,
    /// What ray tracing alone knows.
    pub traced: Option<Traced>,
}

/// Shear, rotation and source positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    /// Shear γ1, γ2; axis 1 of the sky is the first index of a map, axis 2 the second.
    pub gamma: [Vec<f64>; 2],
    /// Rotation ω.
    pub omega: Vec<f64>,
    /// Unlensed position β in radians, averaged over the bin's sources.
    pub beta: [Vec<f64>; 2],
}

impl LensingMaps {
    /// `planes` lensing `sources` by `method`. Collective.
    pub fn new(method: Method, planes: &Planes, sources: &Sources) -> Self {
        match method {
            Method::Born => LensingMaps { kappa: born(planes, sources), traced: None },
            Method::Raytrace => raytrace(planes, sources),
        }
    }
}

/// First row and number of rows of a map that this rank works on.
fn my_rows(comm: &Comm, pixels: usize) -> (usize, usize) {
    share(pixels, comm.size(), comm.rank())
}

/// Puts the rows of all ranks together: one map after another, on the root.
fn gather_rows<'a>(comm: &Comm, maps: impl Iterator<Item = &'a [f64]>) -> Vec<f64> {
    maps.flat_map(|rows| comm.gather(0, rows)).collect()
}
