//! What this machine and this process say of themselves; most of it on Linux only, elsewhere nothing is known.

use std::{fs, path::Path, time::Duration};

/// The processor's name.
pub fn cpu_model() -> Option<String> {
    field(&fs::read_to_string("/proc/cpuinfo").ok()?, "model name").map(str::to_string)
}

/// The most memory this process ever had resident, in bytes.
pub fn peak_resident() -> Option<u64> {
    bytes("/proc/self/status", "VmHWM")
}

/// The memory that this process has resident now, in bytes.
pub fn resident() -> Option<u64> {
    bytes("/proc/self/status", "VmRSS")
}

/// Memory that this machine can still give, in bytes.
pub fn available_memory() -> Option<u64> {
    bytes("/proc/meminfo", "MemAvailable")
}

/// Bytes that the disk under an existing path can still give to this user.
#[cfg(unix)]
pub fn free_disk(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

/// Bytes that the disk under an existing path can still give to this user.
#[cfg(not(unix))]
pub fn free_disk(_: &Path) -> Option<u64> {
    None
}

/// Bytes of the disk under an existing path.
#[cfg(unix)]
pub fn disk_size(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    disk.f_blocks.checked_mul(disk.f_frsize)
}

/// Bytes of the disk under an existing path.
#[cfg(not(unix))]
pub fn disk_size(_: &Path) -> Option<u64> {
    None
}

/// Processor time of this process until now, of all of its threads.
#[cfg(unix)]
pub fn processor_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).ok()
}

/// Processor time of this process until now, of all of its threads.
#[cfg(not(unix))]
pub fn processor_time() -> Option<Duration> {
    None
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
    fn linux_tells_memory_disk_and_processor() {
        assert!(peak_resident().unwrap() > 1 << 20);
        assert!(available_memory().unwrap() > 1 << 20);
        assert!(resident().unwrap() <= peak_resident().unwrap());
        assert!(free_disk(&std::env::temp_dir()).unwrap() <= disk_size(&std::env::temp_dir()).unwrap());
        assert_eq!(free_disk("/no/such/place".as_ref()), None);
    }
}
