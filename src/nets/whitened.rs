//! A linear model of the data with Gaussian noise, z ~ N(m + Ms, C): what it leaves of them is white where it is right.
//! (Handley & Mediato-Diaz 2025, arXiv:2501.03921.)

use super::kept;
use super::unbounded::Unbounded;
use crate::prior::Prior;
use tch::{Kind, Tensor, nn};

/// w = (z − m) A − s B of d numbers z, with s the standardised parameters.
pub struct Whitened {
    /// (d): m.
    pub centre: Tensor,
    /// (d, d): A, with columns of 0 behind the last direction that varies; (p, d): B = MA.
    pub of_data: Tensor,
    pub of_parameters: Tensor,
    /// (d): 1 for directions that vary.
    pub active: Tensor,
    /// (p): mean and standard deviation of the parameters, in the coordinates of their prior.
    pub middle: Tensor,
    pub scale: Tensor,
    unbounded: Unbounded,
}

impl Whitened {
    /// Of d numbers: as they are, until it is fitted.
    pub fn new(path: &nn::Path, prior: &Prior, d: i64) -> Self {
        let p = prior.len() as i64;
        let whitened = Whitened {
            centre: kept(path, "centre", &[d], 0.0),
            of_data: kept(path, "of_data", &[d, d], 0.0),
            of_parameters: kept(path, "of_parameters", &[p, d], 0.0),
            active: kept(path, "active", &[d], 1.0),
            middle: kept(path, "middle", &[p], 0.0),
            scale: kept(path, "scale", &[p], 1.0),
            unbounded: Unbounded::new(prior, path.device()),
        };
        let _ = whitened.of_data.shallow_clone().fill_diagonal_(1.0, false);
        whitened
    }

    /// Parameters in the coordinates of their prior (a box is [0, 1]), (n, p), in double precision.
    pub fn coordinates(&self, theta: &Tensor) -> Tensor {
        self.unbounded.unit(theta).0
    }

    /// s (n, p), in double precision.
    pub fn standardised(&self, theta: &Tensor) -> Tensor {
        (self.coordinates(theta) - &self.middle) / &self.scale
    }

    /// w (n, d) of z (n, d) at s (n, p), in double precision.
    pub fn forward(&self, z: &Tensor, s: &Tensor) -> Tensor {
        (z.to_kind(Kind::Double) - &self.centre).matmul(&self.of_data) - s.matmul(&self.of_parameters)
    }

    /// ln N(w; 0, 1) of the directions that vary, (n).
    pub fn ln_density(&self, w: &Tensor) -> Tensor {
        let each = (w.square() * -0.5 - 0.5 * std::f64::consts::TAU.ln()) * &self.active;
        each.sum_dim_intlist(-1i64, false, None::<Kind>)
    }
}
