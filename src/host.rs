//! What this machine and this process say of themselves. Linux only; elsewhere nothing is known.

use std::fs;

/// The processor's name.
pub fn cpu_model() -> Option<String> {
    field(&fs::read_to_string("/proc/cpuinfo").ok()?, "model name").map(str::to_string)
}

/// The most memory this process ever had resident, in bytes.
pub fn peak_resident() -> Option<u64> {
    bytes("/proc/self/status", "VmHWM")
}

/// Memory that this machine can still give, in bytes.
pub fn available_memory() -> Option<u64> {
    bytes("/proc/meminfo", "MemAvailable")
}

/// A size that the file states in kB.
fn bytes(file: &str, key: &str) -> Option<u64> {
    let kilobytes: u64 = field(&fs::read_to_string(file).ok()?, key)?.strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The value of the first `key : value` line.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.trim() == key).map(|(_, v)| v.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: EPYC: 9\nmodel name\t: other\n";
        assert_eq!(field(text, "model name"), Some("EPYC: 9"));
        assert_eq!(field(text, "name"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_memory_and_processor() {
        assert!(peak_resident().unwrap() > 1 << 20);
        assert!(available_memory().unwrap() > 1 << 20);
    }
}
