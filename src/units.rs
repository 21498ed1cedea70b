//! Constants and units.
//!
//! Lengths and positions are comoving Mpc/h, velocities peculiar km/s, masses Msun/h, wavenumbers h/Mpc, angles
//! degrees in configuration and radians in code.

/// Hubble constant in units of h km/s/Mpc.
pub const H100: f64 = 100.0;
/// Speed of light in km/s (exact).
pub const C_KM_S: f64 = 299_792.458;
/// Hubble distance c / H100 in Mpc/h.
pub const HUBBLE_DISTANCE: f64 = C_KM_S / H100;
/// Critical density today in h² Msun/Mpc³, i.e. in (Msun/h) / (Mpc/h)³ (Planck-era G and Msun; PDG 2020).
pub const RHO_CRIT: f64 = 2.775_366_27e11;
/// Temperature of the cosmic microwave background today in K (Fixsen 2009).
pub const T_CMB: f64 = 2.7255;
/// Temperature of one of three neutrinos today in eV, (4/11)^(1/3) of [`T_CMB`], were they heated by nothing else.
pub const T_NU_EV: f64 = 0.713_765_855_503_608 * T_CMB * 8.617_333_262e-5;
/// Ω h² of photons of 1 K: 4σ/c³ over the critical density (CODATA 2018).
pub const OMEGA_PHOTON_H2: f64 = 4.481_620_09e-7;
