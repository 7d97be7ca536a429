#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bitflow_fuzz::http::broadcasting(data));
