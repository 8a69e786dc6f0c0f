//! What this machine says of itself and of this process. Linux only; elsewhere nothing is known.

use std::fs;

/// The processor's name.
pub fn cpu_model() -> Option<String> {
    field(&fs::read_to_string("/proc/cpuinfo").ok()?, "model name").map(str::to_string)
}

/// The largest resident set of this process so far, in bytes.
pub fn peak_rss() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes: u64 = field(&status, "VmHWM")?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
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
}
