//! Types and names: what is stored is well-formed, agrees with itself, and goes into headers.
//!
//! Input: two bytes that are the lengths of the declared type and of the name, these two, then the
//! file.
#![no_main]

use asset_gateway::media::{ExtensionOutcome, agree, content_disposition, sniff};
use http::HeaderValue;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [declared_length, name_length, rest @ ..] = input else {
        return;
    };
    let (declared, rest) = rest.split_at(usize::from(*declared_length).min(rest.len()));
    let (name, file) = rest.split_at(usize::from(*name_length).min(rest.len()));
    let (declared, name) = (
        String::from_utf8_lossy(declared),
        String::from_utf8_lossy(name),
    );
    for whole in [true, false] {
        for (declared, name) in [
            (Some(&*declared), Some(&*name)),
            (None, Some(&*name)),
            (Some(&*declared), None),
        ] {
            check(file, whole, declared, name);
        }
    }
});

fn check(file: &[u8], whole: bool, declared: Option<&str>, name: Option<&str>) {
    let sniffed = sniff(file, whole, declared, name);
    let essence = sniffed.essence();
    assert_eq!(essence, essence.to_ascii_lowercase());
    assert!(
        essence.split('/').count() == 2 && !essence.contains([';', ' ', '*']),
        "{essence}"
    );
    HeaderValue::try_from(sniffed.content_type()).expect("a type goes into a header");

    let agreed = agree(name, &sniffed);
    let (length, told) = (agreed.name.chars().count(), &agreed.name);
    assert!((1..=255).contains(&length), "{told:?}");
    assert!(
        !told.contains(['/', '\\']) && !told.chars().any(char::is_control),
        "{told:?}"
    );
    assert!(
        told.rsplit_once('.')
            .is_some_and(|(stem, end)| !stem.is_empty() && !end.is_empty()),
        "{told:?}"
    );
    let again = agree(Some(told), &sniffed);
    assert_eq!(
        (&again.name, again.extension),
        (told, ExtensionOutcome::Kept),
        "agreeing again changes nothing"
    );

    let disposition = content_disposition(told, &sniffed.content_type());
    HeaderValue::try_from(&disposition).expect("a name goes into a header");
    assert!(
        !sniffed.is_executable() || disposition.starts_with("attachment"),
        "{disposition}"
    );

    // What was stored is read again under its own name and type, as whoever fetches it does.
    let stored = sniff(file, whole, Some(&sniffed.content_type()), Some(told));
    assert_eq!(stored.essence(), essence, "{told:?} as {essence}");
    assert!(!stored.contradicts_declared(), "{told:?} as {essence}");
}
