//! Memory for what a file says it holds: asked for in a way that can be refused, for a file can say anything.

use super::Element;
use crate::error::{Error, Result};

/// What is smaller is not compared with the memory that is free: asking costs more than it saves.
const SMALL: u64 = 64 << 20;

/// Bytes that this node can still give, where the system tells.
pub fn free_memory() -> Option<u64> {
    kib("MemAvailable:").map(|kib| kib << 10)
}

/// Bytes of memory that this node has, where the system tells.
pub(super) fn all_memory() -> Option<u64> {
    kib("MemTotal:").map(|kib| kib << 10)
}

fn kib(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    text.lines().find_map(|l| l.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// An empty list with room for `n` numbers; an error where there is no memory for them.
pub fn room<T>(n: usize) -> Result<Vec<T>> {
    let bytes = (n as u64).saturating_mul(size_of::<T>() as u64);
    let refuse = |free: Option<u64>| {
        let free = free.map_or(String::new(), |free| format!(", and {} are free", size(free)));
        let error = Error::input(format!("takes {} of memory{free}", size(bytes)));
        error.remedy("run where there is more memory, or give fewer or smaller universes")
    };
    if bytes > SMALL
        && let Some(free) = free_memory().filter(|&free| bytes > free)
    {
        return Err(refuse(Some(free)));
    }
    let mut list = Vec::new();
    list.try_reserve_exact(n).map_err(|_| refuse(None))?;
    Ok(list)
}

/// A list of `n` zeros; an error where there is no memory for them.
pub(super) fn zeros<T: Element>(n: usize) -> Result<Vec<T>> {
    let mut list = room(n)?;
    list.resize(n, T::default());
    Ok(list)
}

/// A number of bytes as people say it.
pub fn size(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = (bytes.max(1).ilog2() / 10) as usize;
    match unit {
        0 => format!("{bytes} bytes"),
        _ => format!("{:.1} {}", bytes as f64 / 1024f64.powi(unit as i32), units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_refused() {
        assert_eq!(zeros::<f32>(3).unwrap(), [0.0; 3]);
        for n in [1 << 44, usize::MAX / 8, usize::MAX] {
            let e = room::<f64>(n).unwrap_err();
            assert!(e.to_string().contains("of memory") && e.remedy.is_some(), "{e}");
        }
        assert_eq!([size(12), size(1536), size(5 << 40)], ["12 bytes", "1.5 KiB", "5.0 TiB"]);
    }
}
