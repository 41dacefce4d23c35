//! A file's size from the size of the form around it.

use crate::body::multipart::boundary::Boundary;

/// What follows a file in a form: a number of boundaries, and a number of bytes beside them.
///
/// Clients end their forms in ways of their own: with or without the last CRLF, or two of them, or
/// a field behind the file. Some draw boundaries of random length, so those are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormEnding {
    boundaries: u64,
    other_bytes: u64,
}

impl FormEnding {
    /// `bytes` in all, with `boundaries` among them. None where that is impossible.
    pub(super) fn of(bytes: u64, boundaries: u64, boundary_length: usize) -> Option<Self> {
        let other_bytes = bytes.checked_sub(boundaries.checked_mul(boundary_length as u64)?)?;
        Some(Self {
            boundaries,
            other_bytes,
        })
    }

    /// The size in bytes of a file in a form that ends like this, from the request's
    /// `Content-Length` and the offset of the file's first byte. That is a guess until the end is
    /// seen.
    ///
    /// `None` when nothing is left for the file: then the form ends otherwise, or the file is
    /// empty.
    pub fn file_size(
        &self,
        content_length: u64,
        file_start: u64,
        boundary: &Boundary,
    ) -> Option<u64> {
        let boundaries = self
            .boundaries
            .checked_mul(boundary.as_str().len() as u64)?;
        let behind = boundaries.checked_add(self.other_bytes)?;
        content_length
            .checked_sub(file_start)?
            .checked_sub(behind)
            .filter(|&size| size > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_what_the_framing_leaves() {
        let boundary = Boundary::from_content_type("multipart/form-data; boundary=bound").unwrap();
        let ending = FormEnding::of(13, 1, 5).unwrap();
        assert_eq!(ending.file_size(100 + 1 + 13, 100, &boundary), Some(1));
        assert_eq!(ending.file_size(100 + 13, 100, &boundary), None);
        assert_eq!(ending.file_size(100 + 12, 100, &boundary), None);
        assert_eq!(ending.file_size(99, 100, &boundary), None);
        assert_eq!(
            ending.file_size(u64::MAX, 0, &boundary),
            Some(u64::MAX - 13)
        );
    }

    #[test]
    fn a_boundary_of_another_length_is_reckoned_with() {
        let boundary =
            Boundary::from_content_type("multipart/form-data; boundary=boundary").unwrap();
        let two = FormEnding::of(90, 2, 5).unwrap();
        assert_eq!(two.file_size(100 + 1 + 96, 100, &boundary), Some(1));
        assert_eq!(FormEnding::of(9, 2, 5), None);
    }
}
