//! Settings: any file and any variables give settings or mistakes; settings are told so that they
//! load again, and neither tells a secret.
//!
//! Input: lines `KEY=VALUE` of variables without their prefix, a NUL, then the file.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use asset_gateway::config::Settings;
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "the-token-that-nobody-may-see";

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::temp_dir().join(format!("asset-gateway-fuzz-{}.toml", std::process::id()))
});

fn load(file: &[u8], variables: &[(String, String)]) -> Result<Settings, String> {
    std::fs::write(&*FILE, file).expect("the temporary folder can be written to");
    Settings::from_sources(Some(&FILE), variables.to_vec())
        .map_err(|mistakes| format!("{mistakes}\n{mistakes:?}"))
}

fuzz_target!(|input: &[u8]| {
    let nul = input.iter().position(|byte| *byte == 0);
    let (variables, file) = nul.map_or((&[][..], input), |at| (&input[..at], &input[at + 1..]));
    let variables = String::from_utf8_lossy(variables);
    // Files that a setting names would be read, and this machine has some that never end.
    let reads = |text: &str| text.to_lowercase().contains("_file") || text.contains("CONFIG");
    let told = input
        .windows(SECRET.len())
        .any(|window| window == SECRET.as_bytes());
    if told || reads(&variables) || reads(&String::from_utf8_lossy(file)) {
        return;
    }
    let named = variables.lines().filter_map(|line| line.split_once('='));
    let mut variables: Vec<_> = named
        .map(|(key, value)| (format!("ASSET_GATEWAY_{key}"), value.to_owned()))
        .collect();
    variables.push(("ASSET_GATEWAY_EGAIN__TOKEN".to_owned(), SECRET.to_owned()));
    match load(file, &variables) {
        Err(mistakes) => assert!(
            !mistakes.contains(SECRET) && mistakes.trim().len() > 5,
            "{mistakes}"
        ),
        Ok(settings) => {
            let told = settings.render();
            assert!(
                !told.contains(SECRET) && !format!("{settings:?}").contains(SECRET),
                "{told}"
            );
            let again =
                load(told.as_bytes(), &[]).unwrap_or_else(|mistakes| panic!("{mistakes}\n{told}"));
            assert_eq!(again.render(), told);
        }
    }
});
