//! TEMP
pub struct Snapshot {
    pub box_size: f64,
    pub scale_factor: f64,
    pub total: u64,
    pub positions: Vec<[f64; 3]>,
    pub velocities: Vec<[f64; 3]>,
    pub ids: Vec<u64>,
    pub attributes: std::collections::BTreeMap<String, f64>,
}
pub fn read(_: &crate::comm::Comm, _: &std::path::Path) -> crate::error::Result<Snapshot> {
    Err(crate::error::Error::failed("x"))
}
