#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| { (addendum_hostile::TEMPLATE.read)(input); });
