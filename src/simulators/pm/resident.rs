//! This process's memory, as Linux counts it.

/// Bytes of a line of /proc/self/status: `VmRSS` (resident now) or `VmHWM` (the most so far). None where there is no
/// such file.
pub fn resident(line: &str) -> Option<u64> {
    field(&std::fs::read_to_string("/proc/self/status").ok()?, line)
}

fn field(status: &str, line: &str) -> Option<u64> {
    let rest = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'))?;
    let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_and_scaled() {
        let status = "Name:\tpolycosm\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(field(status, "VmHWM"), Some(2 << 20));
        assert_eq!(field(status, "VmRSS"), Some(1 << 20));
        assert_eq!(field(status, "Vm"), None);
    }
}
