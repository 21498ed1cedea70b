//! Galaxies in halos: the halo occupation distribution of Zheng, Coil & Zehavi (2007, ApJ 667, 760), and redshift
//! space.

use super::halos::{HaloCatalogue, PeriodicBox};
use super::redshift_space::RedshiftSpace;
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::limits;
use crate::particles::wrap;
use crate::rng::{ChaCha8Rng, stream};
use rand::Rng;
use rand_distr::{Distribution, Poisson, StandardNormal, UnitSphere};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::function::erf::erf;

/// A halo with more galaxies on average is a mistake in the parameters.
const MOST_PER_HALO: f64 = 1e6;

/// `[simulator.galaxies]`: galaxies painted into the halos. The first five may be varied. Masses of halos are those of
/// their friends-of-friends groups, which are taken for M_200m wherever a radius or concentration is needed. The
/// defaults are those of Reid et al. (2014, MNRAS 444, 476) for BOSS CMASS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HodConfig {
    /// Mass at which half the halos have a central galaxy, 6 to 20.
    #[schemars(extend("x-unit" = "log₁₀ Msun/h"))]
    pub log_m_min: f64,
    /// Width σ of the transition from no central galaxy to one, above 0.
    #[schemars(extend("x-unit" = "dex"))]
    pub sigma_log_m: f64,
    /// Mass M₀ below which there are no satellites, 0 to 20.
    #[schemars(extend("x-unit" = "log₁₀ Msun/h"))]
    pub log_m0: f64,
    /// Mass M₁ above M₀ that brings one satellite, 6 to 20.
    #[schemars(extend("x-unit" = "log₁₀ Msun/h"))]
    pub log_m1: f64,
    /// Slope α of the number of satellites, 0 to 5.
    pub alpha: f64,
    /// Concentration R_200m/r_s of all halos. Left out: Duffy et al. (2008).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "from M and a"))]
    pub concentration: Option<f64>,
    /// Moves galaxies into redshift space along this axis, for the catalogue and `galaxy_power`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-type" = "0, 1 or 2"))]
    pub redshift_axis: Option<usize>,
    /// Catalogues drawn independently from the halos of one universe, 1 to 1000. With several, `galaxies` has a column
    /// `draw`, from 0 on, and `galaxy_power` a first axis `draw`. The first is the same however many there are.
    pub draws: usize,
}

impl Default for HodConfig {
    fn default() -> Self {
        let (concentration, redshift_axis, draws) = (None, None, 1);
        let (log_m_min, sigma_log_m, log_m0, log_m1, alpha) = (13.03, 0.38, 13.27, 14.08, 0.76);
        HodConfig { log_m_min, sigma_log_m, log_m0, log_m1, alpha, concentration, redshift_axis, draws }
    }
}

impl HodConfig {
    /// The parameters that a design may vary.
    pub const NAMES: [&str; 5] = ["log_m_min", "sigma_log_m", "log_m0", "log_m1", "alpha"];

    /// The same with some of [`Self::NAMES`] replaced; other names are left alone.
    pub fn with(&self, varied: &[(&str, f64)]) -> Self {
        let mut hod = self.clone();
        for &(name, value) in varied {
            match name {
                "log_m_min" => hod.log_m_min = value,
                "sigma_log_m" => hod.sigma_log_m = value,
                "log_m0" => hod.log_m0 = value,
                "log_m1" => hod.log_m1 = value,
                "alpha" => hod.alpha = value,
                _ => {}
            }
        }
        hod
    }

    /// Refuses what is no halo occupation.
    pub fn check(&self) -> Result<()> {
        self.check_in(|_| "simulator.galaxies")
    }

    /// The same, with the `section` in which the user wrote the parameter of that name.
    pub fn check_in(&self, section: impl Fn(&str) -> &'static str) -> Result<()> {
        let bad = |key: &str, value: f64, problem: &str, remedy: &str| {
            Err(Error::input(problem).key(format!("{}.{key}", section(key))).value(value).remedy(remedy))
        };
        // M0 may be next to nothing, M1 out of reach: then there are no satellites.
        for (key, log_m, least) in
            [("log_m_min", self.log_m_min, 6.0), ("log_m0", self.log_m0, 0.0), ("log_m1", self.log_m1, 6.0)]
        {
            if !(least..=20.0).contains(&log_m) {
                let problem = format!("is not the logarithm of a halo's mass: they lie between {least} and 20");
                return bad(key, log_m, &problem, "give log10 of Msun/h, e.g. 13.0");
            }
        }
        if !(self.sigma_log_m > 0.0 && self.sigma_log_m.is_finite()) {
            return bad("sigma_log_m", self.sigma_log_m, "must be positive", "0.2 to 0.7 are usual");
        }
        if !(0.0..=5.0).contains(&self.alpha) {
            return bad("alpha", self.alpha, "heavier halos have more satellites: 0 to 5", "about 1 is usual");
        }
        if let Some(c) = self.concentration.filter(|c| !(*c > 0.0 && c.is_finite())) {
            return bad("concentration", c, "must be positive", "4 to 15 are usual");
        }
        if self.draws == 0 {
            return bad("draws", 0.0, "there is at least one catalogue", "leave it out for one");
        }
        limits::at_most("simulator.galaxies.draws", self.draws, limits::GALAXY_DRAWS)?;
        match self.redshift_axis {
            Some(axis) if axis > 2 => bad("redshift_axis", axis as f64, "is no axis", "give 0, 1 or 2"),
            _ => Ok(()),
        }
    }

    /// ⟨N_cen⟩ = ½ [1 + erf((log M − log M_min) / σ)] (eq. 1).
    pub fn mean_centrals(&self, mass: f64) -> f64 {
        0.5 * (1.0 + erf((mass.log10() - self.log_m_min) / self.sigma_log_m))
    }

    /// ⟨N_sat⟩ = ⟨N_cen⟩ ((M − M0) / M1)^α, 0 up to M0 (eqs. 3 and 5).
    pub fn mean_satellites(&self, mass: f64) -> f64 {
        let above = mass - 10f64.powf(self.log_m0);
        if above <= 0.0 {
            return 0.0;
        }
        self.mean_centrals(mass) * (above / 10f64.powf(self.log_m1)).powf(self.alpha)
    }
}

/// Mean concentration R_200m / r_s of a halo: 10.14 (M / 2·10¹² Msun/h)^−0.081 (1 + z)^−1.01 (Duffy et al. 2008, MNRAS
/// 390, L64, table 1, full sample, z = 0–2).
pub fn duffy_concentration(mass: f64, a: f64) -> f64 {
    10.14 * (mass / 2e12).powf(-0.081) * a.powf(1.01)
}

/// Radius over R_200m within which a fraction `u` of the mass of an NFW halo of concentration `c` lies: the root of
/// m(cx) = u m(c), m(y) = ln(1 + y) − y / (1 + y) (Navarro, Frenk & White 1997), by bisection to the last bit.
pub fn nfw_radius(u: f64, c: f64) -> f64 {
    let mass = |y: f64| y.ln_1p() - y / (1.0 + y);
    let wanted = u * mass(c);
    let (mut low, mut high) = (0.0, c);
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return middle / c;
        }
        if mass(middle) < wanted { low = middle } else { high = middle }
    }
}

/// Galaxies, in the order of their halos, in each by draws, a central before its satellites: read in rank order they are the same list on
/// any number of ranks. All columns are of one length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Galaxies {
    /// Label of the halo.
    pub halo: Vec<i64>,
    /// 1 for a central galaxy, 0 for a satellite.
    pub central: Vec<i64>,
    /// Comoving Mpc/h, in [0, L).
    pub position: Vec<[f64; 3]>,
    /// Peculiar km/s.
    pub velocity: Vec<[f64; 3]>,
    /// Which of the independent catalogues they are of.
    pub draw: Vec<i64>,
}

impl Galaxies {
    /// Name and unit of each of [`Self::rows`]' columns.
    pub const COLUMNS: [(&str, &str); 9] = [
        ("x", "Mpc/h"),
        ("y", "Mpc/h"),
        ("z", "Mpc/h"),
        ("vx", "km/s"),
        ("vy", "km/s"),
        ("vz", "km/s"),
        ("central", ""),
        ("halo", ""),
        ("draw", ""),
    ];

    /// Number of galaxies on this rank.
    pub fn len(&self) -> usize {
        self.halo.len()
    }

    /// True with none on this rank.
    pub fn is_empty(&self) -> bool {
        self.halo.is_empty()
    }

    /// One row of numbers per galaxy.
    pub fn rows(&self) -> Vec<[f64; 9]> {
        let row = |i: usize| {
            let (x, v) = (self.position[i], self.velocity[i]);
            [x[0], x[1], x[2], v[0], v[1], v[2], self.central[i] as f64, self.halo[i] as f64, self.draw[i] as f64]
        };
        (0..self.len()).map(row).collect()
    }

    fn push(&mut self, draw: usize, halo: i64, central: bool, position: [f64; 3], velocity: [f64; 3]) {
        self.draw.push(draw as i64);
        self.halo.push(halo);
        self.central.push(central as i64);
        self.position.push(position);
        self.velocity.push(velocity);
    }
}

/// Paints galaxies into halos. A central (yes or no) sits at the centre of mass and moves with the halo; satellites, a
/// Poisson number whether or not there is a central, follow an NFW profile out to R_200m of the halo's mass and have
/// its velocity plus a normal deviate of its dispersion along each axis. Every halo draws from streams of its own,
/// named by its label and the number of the draw. Collective.
pub fn populate(
    comm: &Comm,
    config: &HodConfig,
    halos: &HaloCatalogue,
    now: &PeriodicBox,
    seed: u64,
    realisation: u64,
) -> Result<Galaxies> {
    let mut galaxies = Galaxies::default();
    let purpose = |draw| if draw == 0 { "galaxies".to_string() } else { format!("galaxies, draw {draw}") };
    let purposes: Vec<String> = (0..config.draws).map(purpose).collect();
    let mut each = (0..halos.len()).flat_map(|i| (0..config.draws).map(move |draw| (i, draw)));
    let painted = each.try_for_each(|(i, draw)| {
        let mut rng = stream(seed, realisation, &purposes[draw], halos.label[i] as u64);
        paint_halo(&mut galaxies, config, halos, (i, draw), now, &mut rng)
    });
    comm.agree(painted)?;
    if let Some(axis) = config.redshift_axis {
        let space = RedshiftSpace::of_velocities(now.cosmology, now.a);
        galaxies.position = space.displaced(&galaxies.position, &galaxies.velocity, axis, now.box_size);
    }
    Ok(galaxies)
}

fn paint_halo(
    galaxies: &mut Galaxies,
    config: &HodConfig,
    halos: &HaloCatalogue,
    (i, draw): (usize, usize),
    now: &PeriodicBox,
    rng: &mut ChaCha8Rng,
) -> Result<()> {
    let (label, mass, centre, velocity) = (halos.label[i], halos.mass[i], halos.position[i], halos.velocity[i]);
    if rng.random::<f64>() < config.mean_centrals(mass) {
        galaxies.push(draw, label, true, centre, velocity);
    }
    let mean = config.mean_satellites(mass);
    if mean.is_nan() || mean > MOST_PER_HALO {
        return Err(Error::input(format!("{mean:.3e} satellites on average in a halo of {mass:.3e} Msun/h"))
            .key("simulator.galaxies")
            .value((config.log_m0, config.log_m1, config.alpha))
            .remedy("raise log_m1 or lower alpha"));
    }
    // No distribution where the mean is zero: no satellites.
    let Ok(number) = Poisson::new(mean) else { return Ok(()) };
    let c = config.concentration.unwrap_or_else(|| duffy_concentration(mass, now.a));
    let edge = now.r_200m(mass);
    for _ in 0..number.sample(rng) as u64 {
        let r = edge * nfw_radius(rng.random(), c);
        let direction: [f64; 3] = UnitSphere.sample(rng);
        let x = std::array::from_fn(|k| wrap(centre[k] + r * direction[k], now.box_size));
        let v = velocity.map(|v| v + halos.dispersion[i] * rng.sample::<f64, _>(StandardNormal));
        galaxies.push(draw, label, false, x, v);
    }
    Ok(())
}
