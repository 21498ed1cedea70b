//! TEMP
use serde::{Deserialize, Serialize};
#[derive(Clone, Debug)]
pub struct Cosmology { pub omega_m: f64 }
impl Cosmology { pub fn e(&self, a: f64) -> f64 { (self.omega_m / a.powi(3) + 1.0 - self.omega_m).sqrt() } }
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CosmologyConfig { pub omega_m: Option<f64>, pub omega_b: Option<f64>, pub h: Option<f64>, pub n_s: Option<f64>, pub sigma8: Option<f64> }
pub struct LinearPower;
impl LinearPower { pub fn p(&self, k: f64) -> f64 { 4e5 * k / (1.0 + (k / 0.02).powi(3)) } }
impl CosmologyConfig {
    pub fn resolve(&self, v: &[(&str, f64)]) -> crate::error::Result<Cosmology> { Ok(Cosmology { omega_m: self.omega_m.or(v.iter().find(|v| v.0 == "Omega_m").map(|v| v.1)).unwrap_or(0.3) }) }
    pub fn linear_power(&self, _: &Cosmology, _: u64) -> crate::error::Result<LinearPower> { Ok(LinearPower) }
}
pub struct Growth { y: Vec<[f64; 4]>, c: Cosmology }
const L0: f64 = -6.907755278982137; const N: usize = 4000;
impl Growth {
    fn rhs(c: &Cosmology, l: f64, y: [f64; 4]) -> [f64; 4] { let a = l.exp(); let om = c.omega_m / a.powi(3) / c.e(a).powi(2); let drag = 2.0 - 1.5 * om;
        [y[1], -drag * y[1] + 1.5 * om * y[0], y[3], -drag * y[3] + 1.5 * om * (y[2] - y[0] * y[0])] }
    fn step(c: &Cosmology, l: f64, y: [f64; 4], h: f64) -> [f64; 4] { let ax = |y: [f64; 4], k: [f64; 4], s: f64| std::array::from_fn(|i| y[i] + s * k[i]);
        let k1 = Self::rhs(c, l, y); let k2 = Self::rhs(c, l + h / 2., ax(y, k1, h / 2.)); let k3 = Self::rhs(c, l + h / 2., ax(y, k2, h / 2.)); let k4 = Self::rhs(c, l + h, ax(y, k3, h));
        std::array::from_fn(|i| y[i] + h / 6. * (k1[i] + 2. * k2[i] + 2. * k3[i] + k4[i])) }
    pub fn new(c: &Cosmology) -> Self { let a = L0.exp(); let mut y = vec![[a, a, -3. / 7. * a * a, -6. / 7. * a * a]]; let h = -L0 / N as f64;
        for i in 0..N { let l = L0 + h * i as f64; y.push(Self::step(c, l, y[i], h)); }
        let n = y[N][0]; for v in &mut y { *v = [v[0] / n, v[1] / n, v[2] / n / n, v[3] / n / n]; }
        Growth { y, c: c.clone() } }
    fn at(&self, a: f64) -> [f64; 4] { let h = -L0 / N as f64; let i = (((a.ln() - L0) / h) as usize).min(N); let l = L0 + h * i as f64;
        // the ODE is not linear in y2 under normalisation but homogeneous of degree: fine
        Self::step(&self.c, l, self.y[i], a.ln() - l) }
    pub fn d1(&self, a: f64) -> f64 { self.at(a)[0] } pub fn d1_prime(&self, a: f64) -> f64 { self.at(a)[1] / a }
    pub fn d2(&self, a: f64) -> f64 { self.at(a)[2] } pub fn d2_prime(&self, a: f64) -> f64 { self.at(a)[3] / a }
}
