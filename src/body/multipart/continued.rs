//! A name in several parameters (RFC 2231 section 3): `filename*0*=utf-8''%E4; filename*1="
//! b.jpg"`. Mail libraries write long ones so.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::body::multipart::malformed::malformed;
use crate::media::charset;
use crate::types::error::Error;

/// Most pieces of one name; with 60 bytes in each, that is ten times the longest name.
const MOST: usize = 200;

/// The pieces as they came.
#[derive(Default)]
pub(super) struct ContinuedName<'v>(Vec<Piece<'v>>);

struct Piece<'v> {
    number: usize,
    is_encoded: bool,
    value: Cow<'v, [u8]>,
}

impl<'v> ContinuedName<'v> {
    /// Takes a piece; `place` is what follows the name of its parameter, such as `*0` or `*12*`.
    /// Ignores what isn't one.
    ///
    /// # Errors
    /// A piece that was given before, and more than [`MOST`].
    pub(super) fn take(&mut self, place: &[u8], value: Cow<'v, [u8]>) -> Result<(), Error> {
        let Some(digits) = place.strip_prefix(b"*") else {
            return Ok(());
        };
        let (digits, is_encoded) = match digits.strip_suffix(b"*") {
            Some(digits) => (digits, true),
            None => (digits, false),
        };
        let Some(number) = number(digits) else {
            return Ok(());
        };
        if self.0.len() == MOST || self.0.iter().any(|piece| piece.number == number) {
            return Err(malformed(
                "a part's name comes in pieces that can't be put together: \
                 send it as filename=\"...\"",
            ));
        }
        self.0.push(Piece {
            number,
            is_encoded,
            value,
        });
        Ok(())
    }

    /// The whole name, if all pieces of one came.
    pub(super) fn joined(mut self) -> Option<String> {
        self.0.sort_unstable_by_key(|piece| piece.number);
        for (at, piece) in self.0.iter().enumerate() {
            if at != piece.number {
                return None;
            }
        }
        let first = self.0.first_mut()?;
        // The first one says for all of which character set they are, if it is encoded.
        let charset = if first.is_encoded {
            Some(take_charset(&mut first.value)?)
        } else {
            None
        };
        let mut bytes = Vec::new();
        for piece in &self.0 {
            bytes.extend(piece.bytes());
        }
        match charset {
            Some(charset) => charset::decode_as(&charset, &bytes),
            None => Some(charset::decode(&bytes).into_owned()),
        }
    }
}

impl Piece<'_> {
    fn bytes(&self) -> Vec<u8> {
        if self.is_encoded {
            percent_decode(&self.value).collect()
        } else {
            self.value.to_vec()
        }
    }
}

/// `parse` alone would take a sign.
fn number(digits: &[u8]) -> Option<usize> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Takes `charset'language'` off a value.
fn take_charset(value: &mut Cow<'_, [u8]>) -> Option<Vec<u8>> {
    let mut quotes = memchr::memchr_iter(b'\'', value);
    let first = quotes.next()?;
    let second = quotes.next()?;
    let charset = value[..first].to_vec();
    *value = Cow::Owned(value[second + 1..].to_vec());
    Some(charset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(pieces: &[(&str, &str)]) -> Result<Option<String>, Error> {
        let mut taken = ContinuedName::default();
        for (place, value) in pieces {
            taken.take(place.as_bytes(), Cow::Borrowed(value.as_bytes()))?;
        }
        Ok(taken.joined())
    }

    #[test]
    fn pieces_make_one_name_in_whatever_order_they_come() {
        for (pieces, name) in [
            (
                &[("*0", "a long "), ("*1", "name.jpg")][..],
                "a long name.jpg",
            ),
            (&[("*1", "name.jpg"), ("*0", "100% ")], "100% name.jpg"),
            (
                &[
                    ("*0*", "utf-8''%E5%9B"),
                    ("*1*", "%BE%20"),
                    ("*2", "a%.jpg"),
                ],
                "图 a%.jpg",
            ),
            (
                &[("*0*", "ISO-8859-1'de'Gr%FC"), ("*1*", "%DFe.jpg")],
                "Grüße.jpg",
            ),
            (
                &[
                    ("*0*", "utf-8''a.jpg"),
                    ("other", "x"),
                    ("*x", "y"),
                    ("*", "z"),
                ],
                "a.jpg",
            ),
        ] {
            assert_eq!(joined(pieces).unwrap().as_deref(), Some(name), "{pieces:?}");
        }
    }

    #[test]
    fn pieces_that_make_no_name_give_none() {
        for pieces in [
            &[][..],
            &[("*1", "b.jpg")],
            &[("*0", "a"), ("*2", "c.jpg")],
            &[("*0*", "no quotes")],
            &[("*0*", "utf-8''%FF")],
        ] {
            assert_eq!(joined(pieces).unwrap(), None, "{pieces:?}");
        }
    }

    #[test]
    fn repeated_or_too_many_pieces_are_refused() {
        assert!(joined(&[("*0", "a"), ("*0", "b")]).is_err());
        let many: Vec<_> = (0..=MOST).map(|number| format!("*{number}")).collect();
        let many: Vec<_> = many.iter().map(|place| (place.as_str(), "x")).collect();
        assert!(joined(&many[..MOST]).unwrap().is_some());
        assert!(joined(&many).is_err());
    }
}
