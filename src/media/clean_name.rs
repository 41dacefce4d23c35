//! File names without what misleads: no path, no control characters, and no invisible characters
//! but those that a script needs.

/// The last part of a path without what misleads the eye or a terminal; none if nothing is left.
pub fn clean(name: &str) -> Option<String> {
    name.rsplit(['/', '\\'])
        .map(clean_part)
        .find(|part| !part.is_empty())
}

fn clean_part(part: &str) -> String {
    let mut visible = String::with_capacity(part.len());
    for c in part.chars() {
        if c.is_control() {
            continue;
        }
        let shows = match visible.chars().next_back() {
            _ if !is_format(c) => true,
            Some(before) => is_orthography(c, before),
            None => false,
        };
        if shows {
            visible.push(c);
        }
    }
    visible.trim_matches(is_edge).to_owned()
}

pub(super) fn is_edge(c: char) -> bool {
    c == '.' || c.is_whitespace() || matches!(c, '\u{200c}'..='\u{200f}' | '\u{61c}')
}

/// Whether a character that shows nothing belongs to the one before it: joiners in Persian, in the
/// scripts of India and in emoji, marks of direction in Hebrew and Arabic, variants of Mongolian
/// letters and of Han, the tags that make Scotland's flag. Behind any other they would only
/// mislead.
fn is_orthography(c: char, before: char) -> bool {
    match c {
        '\u{200c}' | '\u{200d}' => !before.is_ascii() && !matches!(before, '\u{200c}'..='\u{200f}'),
        '\u{200e}' | '\u{200f}' | '\u{61c}' => is_right_to_left(before),
        '\u{180b}'..='\u{180f}' => matches!(before, '\u{1820}'..='\u{18aa}'),
        '\u{e0100}'..='\u{e01ef}' => {
            matches!(before,
                '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
        }
        '\u{e0030}'..='\u{e007f}' => matches!(before, '\u{1f3f4}' | '\u{e0030}'..='\u{e007e}'),
        _ => false,
    }
}

/// Letters of Hebrew, Arabic and what is written like them.
fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// Characters that show nothing, turn the direction of writing, or break lines: Unicode's Cf
/// outside of scripts that need them for their own signs, Zl and Zp.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}'
        | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
